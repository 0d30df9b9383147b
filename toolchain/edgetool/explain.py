"""The pages behind error codes: `edgetool explain CODE`. Each package brings its own in a folder `explanations`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgetool.errors import ConfigError
from edgetool.nearest import did_you_mean

_EXIT_CODE = re.compile(r"Exit code (\d+)\.")


@dataclass(frozen=True, slots=True)
class Explanation:
    """One page.

    Attributes:
        code: the error's code, the page's file name.
        title: what happened, in one line.
        exit_code: what the process ends with.
        text: the page after its title, Markdown.
        package: who brings it.
    """

    code: str
    title: str
    exit_code: int
    text: str
    package: str

    def to_json(self) -> dict[str, object]:
        return {
            "code": self.code,
            "title": self.title,
            "exit_code": self.exit_code,
            "text": self.text,
            "package": self.package,
        }


def explanations() -> Mapping[str, Explanation]:
    """All pages of edgetool and of the installed plugins, by code, sorted. A plugin cannot replace a page of ours."""
    found: dict[str, Explanation] = {}
    for package, folder in _folders():
        for path in folder.glob("*.md"):
            found.setdefault(path.stem, read_explanation(path, package=package))
    return dict(sorted(found.items()))


def explain(code: str) -> Explanation:
    """The page of one code. Raises ConfigError with the nearest code."""
    pages = explanations()
    if code in pages:
        return pages[code]
    near = did_you_mean(code, pages)
    raise ConfigError("unknown-code", f"there is no error code {code!r}", hint=near or "list them: edgetool explain")


def read_explanation(path: Path, *, package: str) -> Explanation:
    """Parse a page: `# title`, a paragraph that begins `Exit code N.`, and the rest."""
    title, _, text = path.read_text(encoding="utf-8").strip().partition("\n")
    text = text.strip()
    match = _EXIT_CODE.match(text)
    return Explanation(
        code=path.stem,
        title=title.removeprefix("#").strip(),
        exit_code=int(match[1]) if match else 1,
        text=text,
        package=package,
    )


def _folders() -> Iterator[tuple[str, Path]]:
    """Ours first, then one a plugin. Packages are located, not imported."""
    yield "edgetool", Path(__file__).parent / "explanations"
    packages = {entry.module.split(".")[0] for entry in importlib.metadata.entry_points(group="edgetool")}
    for package in sorted(packages):
        spec = importlib.util.find_spec(package)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            yield package, Path(location) / "explanations"
