"""docs/reference/errors.md: every error code, from the pages that `edgetool explain` prints."""

from __future__ import annotations

from edgetool.explain import explanations
from reference_pages import NOTICE

_EXIT_CODES = {
    0: "done; a warning only",
    1: "a bug in edgetool",
    2: "usage or configuration",
    3: "the model is invalid, unsupported or unsafe",
    4: "a budget or the validation failed",
    5: "a backend, tool or plugin is missing or broken",
    6: "the target device is unreachable or not as described",
    7: "integrity of cache, bundle or signature",
    8: "drift under `--locked`",
    9: "built, but not proven here",
    10: "this machine gave out: disk, permission, time, memory",
    130: "interrupted",
}


def page() -> str:
    """Every error code, grouped by exit code, from the pages that `edgetool explain` prints."""
    pages = [page for page in explanations().values() if page.package.startswith("edgetool")]
    lines = ["# Errors", "", NOTICE, ""]
    lines += ["Each error names its code in `error[CODE]`; `edgetool explain CODE` prints what stands here.", ""]
    for exit_code, meaning in _EXIT_CODES.items():
        found = [page for page in pages if page.exit_code == exit_code]
        if found:
            lines += [f"## Exit code {exit_code}: {meaning}", ""]
        for page in found:
            lines += [f"### `{page.code}`", "", f"**{page.title}.**", "", _without_first_sentence(page.text), ""]
    return "\n".join(lines)


def _without_first_sentence(text: str) -> str:
    """The exit code stands in the heading already."""
    return text.split(".", 1)[1].strip()
