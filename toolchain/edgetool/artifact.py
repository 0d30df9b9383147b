"""What flows through a build: a Model between passes, an Engine after the backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from edgetool.signature import Signature

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
"""What a fact may be: anything that JSON can carry."""

Facts: TypeAlias = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Model:
    """An ONNX file and its signature. External data, if any, lies beside it in the same folder.

    Attributes:
        path: the .onnx file; the files that hold its external data are named inside it.
        signature: read from the graph, with the dimension ranges that the user declared.
    """

    path: Path
    signature: Signature


@dataclass(frozen=True, slots=True)
class Lowering:
    """One rewrite that a backend made of the typed ONNX for its own runtime.

    Attributes:
        name: kebab-case, e.g. `int8-to-uint8`.
        summary: one sentence: what was rewritten and why it is harmless.
        count: how many places were touched.
    """

    name: str
    summary: str
    count: int

    def to_json(self) -> dict[str, JsonValue]:
        return {"name": self.name, "summary": self.summary, "count": self.count}


@dataclass(frozen=True, slots=True)
class Engine:
    """What a backend made: files that the device loads, untouched by anybody afterwards.

    Attributes:
        backend: name of the backend that made it, and that can open it.
        directory: holds every file of the engine and nothing else.
        entry: the file to load, relative to `directory`.
        precision: what the engine computes in: `float32`, `float16`, `bfloat16`, `int8`, `mixed`.
        signature: as the engine sees it (a specialised engine may have fixed dimensions).
        lowerings: what the backend rewrote on the way.
        facts: device, runtime version, options that were pinned; goes into the manifest.
    """

    backend: str
    directory: Path
    entry: str
    precision: str
    signature: Signature
    lowerings: tuple[Lowering, ...] = ()
    facts: Facts = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.directory / self.entry
