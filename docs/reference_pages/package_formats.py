"""docs/reference/package-formats.md: every bundled exporter, what it writes, and its options."""

from __future__ import annotations

from collections.abc import Iterator

from edgetool.exporters.base import AnyExporter, Exporter
from edgetool.plugin.loading import load_class
from edgetool.plugin.manager import load_plugins
from edgetool.plugin.records import ExporterInfo
from reference_pages import NOTICE
from reference_pages.tables import table

_SIGNED = {
    "never": "no: the bundle's own signature travels in it",
    "optional": "with the key, where one is named",
    "required": "always",
}


def page() -> str:
    """One section a format, in alphabetical order."""
    lines = ["# Package formats", "", NOTICE, ""]
    lines += [
        "`edgetool package BUNDLE --format F` writes one of these beside the bundle; options are given as",
        "`--option F.KEY=VALUE`. In `targets.toml` the same stands in `[targets.NAME.package]`, and `edgetool build`",
        "then writes the packages, too: `formats = [...]`, `key`, `certificate`, a table for each format's options.",
        "",
        "A package is made of a bundle whose every byte was checked before. Equal bundles give equal packages, but for",
        "signatures with a random scheme. The bundle's signature `NAME.edgebundle.sig` is carried along where there is",
        "one.",
        "",
    ]
    for name, info in sorted(load_plugins().exporters.items()):
        if info.loader.startswith("edgetool_"):
            lines += _section(name, info)
    return "\n".join(lines)


def _section(name: str, info: ExporterInfo) -> Iterator[str]:
    kind: type[AnyExporter] = load_class(info, Exporter)
    heading, blank, *options = table(f"`{name}`", kind.Options, f"targets.NAME.package.{name}")
    written = f"one file, `NAME-VERSION-TARGET{kind.suffix}`" if kind.suffix else f"a folder, `…{kind.folder}`"
    certified = ", and carries the key's certificate" if kind.certified else ""
    yield from [heading, blank, f"{info.summary[:1].upper()}{info.summary[1:]}.", ""]
    yield from [f"- Written: {written}", f"- Signed: {_SIGNED[kind.signing]}{certified}", ""]
    yield from options
