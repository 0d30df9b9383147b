"""docs/reference/passes.md: every bundled pass, what it needs, and its options."""

from __future__ import annotations

from collections.abc import Iterator

from edgetool.passes.base import Pass, PassOptions
from edgetool.plugin.loading import load_class
from edgetool.plugin.manager import load_plugins
from edgetool.plugin.records import PassInfo
from reference_pages import NOTICE
from reference_pages.tables import table


def page() -> str:
    """One section a pass, in alphabetical order."""
    lines = ["# Passes", "", NOTICE, ""]
    lines += [
        "A pass turns a model into a model. A recipe in `targets.toml` names passes in order, each with its options:",
        '`passes = [{ use = "simplify" }, { use = "quantize-static", per_channel = true }]`. What a pass did stands in',
        "the manifest. Passes know no runtime: [what quantization writes](quantization.md) is the same for all.",
        "",
    ]
    for name, info in sorted(load_plugins().passes.items()):
        if info.loader.startswith("edgetool_"):
            lines += _section(name, info)
    return "\n".join(lines)


def _section(name: str, info: PassInfo) -> Iterator[str]:
    kind = load_class(info, Pass)
    heading, blank, *options = table(f"`{name}`", kind.Options, name)
    yield from [heading, blank, f"{info.summary[:1].upper()}{info.summary[1:]}.", ""]
    yield from [f"- Needs: {_needs(kind, info)}"]
    if kind.changes_signature:
        yield "- May change the shapes of inputs and outputs."
    for option, fact in _facts(kind.Options):
        yield f"- The target's fact `{fact}` sets `{option}` where the recipe does not."
    yield from ["", *options]


def _needs(kind: type[Pass[PassOptions]], info: PassInfo) -> str:
    options = kind.Options()
    needs = [f"`pip install 'edgetool[{info.extra}]'`"] if info.extra else []
    if kind.wants_calibration(options):
        needs.append("`[data] calibration`")
    elif kind.welcomes_calibration(options):
        needs.append("nothing; does better with `[data] calibration`")
    return "; ".join(needs) or "nothing"


def _facts(options: type[PassOptions]) -> Iterator[tuple[str, str]]:
    for name, field in options.model_fields.items():
        if isinstance(field.json_schema_extra, dict) and "fact" in field.json_schema_extra:
            yield name, str(field.json_schema_extra["fact"])
