"""docs/reference/backends.md: every bundled backend and importer, what it needs, and its options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgetool.config.options import Kind, options_of
from edgetool.plugin.manager import Plugins, load_plugins
from edgetool.plugin.records import Info
from reference_pages import NOTICE
from reference_pages.tables import table


def page() -> str:
    """Backends first, then importers, each in alphabetical order."""
    plugins = load_plugins()
    lines = ["# Backends and importers", "", NOTICE, ""]
    lines += [
        "What the bundled plugins offer besides [passes](passes.md). `edgetool plugins` lists what is installed.",
        "",
    ]
    lines += _sections("backends", "backend", plugins.backends, plugins)
    lines += _sections("importers", "importer", plugins.importers, plugins)
    return "\n".join(lines)


def _sections(kind: Kind, noun: str, infos: Mapping[str, Info], plugins: Plugins) -> Iterator[str]:
    for name, info in sorted(infos.items()):
        options = options_of(kind, name, plugins)
        if options is None or not info.loader.startswith("edgetool_"):
            continue
        header = f"[targets.NAME.{name}]" if kind == "backends" else f"[model.{name}]"
        heading, blank, *rows = table(f"{noun} `{name}`", options, header[1:-1])
        yield from [heading, blank, f"{info.summary[:1].upper()}{info.summary[1:]}.", ""]
        yield f"- Needs: `pip install 'edgetool[{info.extra}]'`" if info.extra else "- Needs: nothing more"
        yield from [f"- Options in `{header}`", "", *rows]
