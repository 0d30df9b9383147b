"""What an interpreter has: requirements, versions, and what a backend's probe says there.

Run as `python -m edgetool.engine.survey`, it reads questions as JSON from stdin and prints the answers.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgetool.backends.base import HERE, Availability, Backend, Site
from edgetool.engine.records import adapter
from edgetool.errors import UnavailableError
from edgetool.plugin.loading import load_object
from edgetool.plugin.manager import missing_requirements
from edgetool.plugin.records import Info

_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class BackendQuestion:
    """What a backend's probe is to be asked about: its validated options, and its site."""

    options: Mapping[str, Any]
    site: Site = HERE


@dataclass(frozen=True, slots=True)
class Survey:
    """The answers.

    Attributes:
        missing: import names that are required and not installed.
        versions: of the tools that are installed, and Python's own.
        availability: what the backend's probe says; None where it was not asked.
    """

    missing: tuple[str, ...]
    versions: Mapping[str, str]
    availability: Availability | None = None


def survey(info: Info, tools: Collection[str], *, python: str | None, backend: BackendQuestion | None = None) -> Survey:
    """Ask this interpreter, or the one that a target names.

    Args:
        info: whose requirements are looked for.
        tools: distributions whose versions are wanted.
        python: another interpreter, or None for this one.
        backend: given when the record is a backend that is to be probed.

    Raises:
        UnavailableError: the other interpreter does not start, or has no edgetool.
    """
    if python is None:
        return _look(info, tools, backend)
    question = {
        "info": [info.name, info.summary, info.loader, list(info.requires)],
        "tools": sorted(tools),
        "backend": asdict(backend) if backend else None,
    }
    answer = _ask(python, question)
    availability = answer["availability"]
    return Survey(
        tuple(answer["missing"]),
        answer["versions"],
        adapter(Availability).validate_python(availability) if availability is not None else None,
    )


def tool_versions(distributions: Collection[str]) -> dict[str, str]:
    """Versions of those that are installed, and Python's own."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in distributions:
        version = _version(name)
        if version is not None:
            found[name] = version
    return found


@functools.cache
def _version(distribution: str) -> str | None:
    """Most plugins ask for the same few, and each answer is read from files."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _look(info: Info, tools: Collection[str], backend: BackendQuestion | None) -> Survey:
    missing = missing_requirements(info)
    availability = None
    if backend is not None and not missing:
        kind: type[Backend[Any]] = load_object(info.loader, Backend, what=info.name)
        availability = kind(kind.Options.model_validate(dict(backend.options)), backend.site).probe()
    return Survey(missing, tool_versions(tools), availability)


def _ask(python: str, question: Mapping[str, Any]) -> dict[str, Any]:
    command = [python, "-m", "edgetool.engine.survey"]
    try:
        done = subprocess.run(
            command, input=json.dumps(question), capture_output=True, text=True, timeout=_PATIENCE, check=True
        )
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise UnavailableError(
            "interpreter-missing",
            f"cannot ask {python} what it has: {_reason(error)}",
            where=python,
            hint="`python` in [targets.NAME.builder] wants an interpreter that has edgetool installed",
        ) from error
    return answer


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError) and error.stderr:
        return str(error.stderr).strip().splitlines()[-1]
    return str(error)


def main(question: str) -> str:
    """Answer one question, both as JSON."""
    asked = json.loads(question)
    name, summary, loader, requires = asked["info"]
    info = Info(name, summary, loader, tuple(requires))
    backend = adapter(BackendQuestion).validate_python(asked["backend"]) if asked["backend"] else None
    return json.dumps(asdict(_look(info, asked["tools"], backend)))


if __name__ == "__main__":
    print(main(sys.stdin.read()))  # noqa: T201 - stdout is the answer's way back
