"""The page's style sheet: light and dark, phone and paper, and colours that differ in brightness, too."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --paper: #fff; --panel: #f6f8fa; --line: #d0d7de;
  --engine: #0550ae; --reference: #8250df; --passed: #116329; --failed: #a40e26; --unverified: #7d4e00;
  --not-run: #57606a; --track: #d8dee4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9da7b1; --paper: #0d1117; --panel: #161b22;
  --line: #30363d; --engine: #79c0ff; --reference: #d2a8ff; --passed: #7ee787; --failed: #ff9492; --unverified: #f2cc60;
  --not-run: #9da7b1; --track: #30363d; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  max-width: 64rem; padding: 1rem; }
a { color: var(--engine); }
.skip { position: absolute; left: -100rem; } .skip:focus { left: 1rem; background: var(--paper); padding: 0.5rem; }
h1 { font-size: 1.5rem; margin: 0.5rem 0; } h2 { font-size: 1.25rem; margin: 0 0 0.5rem; } h3 { font-size: 1.05rem;
  margin: 1.5rem 0 0.5rem; } h4 { margin: 1rem 0 0; font-size: 0.95rem; }
code { font: 0.9em ui-monospace, monospace; overflow-wrap: anywhere; }
article { border: 1px solid var(--line); border-radius: 8px; padding: 1rem; margin: 1rem 0; }
.headline { font-size: 1.05rem; }
.badge { display: inline-block; border: 1.5px solid currentColor; border-radius: 999px; padding: 0 0.6rem;
  font-weight: 600; font-size: 0.85rem; white-space: nowrap; }
.badge.passed { color: var(--passed); } .badge.failed { color: var(--failed); }
.badge.unverified { color: var(--unverified); } .badge.known, .badge.not-run { color: var(--not-run); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 0.5rem; margin: 0.75rem 0; }
dl div { background: var(--panel); border-radius: 6px; padding: 0.4rem 0.6rem; min-width: 0; }
dt { color: var(--soft); font-size: 0.8rem; } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 0.5rem 0; } .scroll:focus { outline: 2px solid var(--engine); }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
caption { text-align: left; color: var(--soft); font-size: 0.85rem; padding: 0.2rem 0; }
th, td { text-align: left; padding: 0.3rem 0.6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td code { overflow-wrap: normal; } nav td:last-child { min-width: 16rem; }
ul { padding-left: 1.2rem; } .checks { list-style: none; padding: 0; } .checks li { margin: 0.6rem 0; }
.fix { color: var(--engine); }
details { margin: 0.4rem 0; } summary { cursor: pointer; } summary:focus-visible { outline: 2px solid var(--engine); }
figure { margin: 0.5rem 0; } figcaption { color: var(--soft); font-size: 0.85rem; }
figure svg { width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 12px; }
polyline { fill: none; stroke-width: 2.5; } polyline.engine { stroke: var(--engine); }
polyline.reference { stroke: var(--reference); stroke-dasharray: 6 4; }
.grid { stroke: var(--line); } .key { font-weight: 600; } .key.engine { color: var(--engine); }
.key.reference { color: var(--reference); }
.bar { width: 100%; min-width: 6rem; height: 0.6rem; vertical-align: middle; } .track { fill: var(--track); }
.bar.passed .fill { fill: var(--passed); } .bar.failed .fill { fill: var(--failed); }
.bar.unverified .fill { fill: var(--unverified); } .mark { stroke: var(--ink); stroke-width: 1; }
.level { display: grid; grid-template-columns: minmax(6rem, 2fr) 3fr minmax(5rem, auto); gap: 0.5rem;
  align-items: center; font-size: 0.8rem; }
.level span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.level svg { width: 100%; height: 0.6rem; } .level .fill { fill: var(--failed); } .level .number { text-align: right; }
.pair { display: flex; flex-wrap: wrap; gap: 1rem; } .pair figure { flex: 1 1 16rem; max-width: 24rem; }
rect.bar { fill: var(--engine); } rect.bad { fill: var(--failed); } .pair line { stroke: var(--line); }
@media (max-width: 40rem) { body { padding: 0.5rem; } article { padding: 0.6rem; }
  nav td:last-child { min-width: 26rem; } }
@media print { :root { color-scheme: light; } body { max-width: none; font-size: 11pt; } .skip, nav { display: none; }
  article { border: none; padding: 0; } section, figure, tr { break-inside: avoid; }
  details::details-content { content-visibility: visible; display: block; height: auto; }
  .scroll { overflow: visible; } }
"""
