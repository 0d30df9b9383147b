"""How a bundle came about, beyond what its manifest says: for its bill of materials and its provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

FileRole: TypeAlias = Literal["source", "calibration", "evaluation"]


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file that the build read.

    Attributes:
        path: relative to the project; of one that lies elsewhere only the name.
        sha256: hex; `missing` for one that vanished meanwhile.
        role: what it was read for.
    """

    path: str
    sha256: str
    role: FileRole


@dataclass(frozen=True, slots=True)
class Step:
    """One step that decided the engine's bytes: the import, a pass, or the backend's build.

    Attributes:
        name: `import`, the pass's name, `build`.
        parts: what its result depends on: `use`, `revision`, `options`, `provider`, `code`, the digest of its input.
    """

    name: str
    parts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """What a build knows of itself.

    Attributes:
        recipe: its name; None where the model was taken as imported.
        edgetool: version and digest of the code that acted.
        plugins: distribution to version, of the plugins that acted.
        steps: in the order in which they ran.
        files: everything that was read.
    """

    recipe: str | None = None
    edgetool: str | None = None
    plugins: Mapping[str, str] | None = None
    steps: tuple[Step, ...] = ()
    files: tuple[ReadFile, ...] = ()


UNKNOWN = Origin()
"""Of a bundle that was put together without a build."""
