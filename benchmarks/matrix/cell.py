"""What is known of one pass on one network for one builder, and the file that keeps it."""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

Mark: TypeAlias = Literal["same", "refused", "failed", "ran", "built", "parsed"]


@dataclass(frozen=True)
class Cell:
    """One outcome.

    Attributes:
        mark: `same`: the pass leaves the network as it is; `ran`: the engine computes; `built`: there is an engine,
            which nothing here can run; `parsed`: the builder's parser takes the network, and building took too long.
        cosine: to float, the smallest over the outputs; None where float has nothing of that size to compare with.
        size: of the engine in bytes, where it cannot run.
        seconds: that the build took, likewise.
        cured: name of the pass that the backend asked for.
        reason: of a refusal or failure.
        by: who refused: the name of the pass, or of the builder.
    """

    mark: Mark
    cosine: float | None = None
    size: int | None = None
    seconds: float | None = None
    cured: str = ""
    reason: str = ""
    by: str = ""


Place: TypeAlias = tuple[str, str, str]
"""Network, pass, builder."""


@dataclass
class Results(MutableMapping[Place, Cell]):
    """Cells by place, written to a file at every change.

    Attributes:
        path: of the file; None keeps them in memory.
    """

    path: Path | None
    _cells: dict[Place, Cell] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path | None) -> Results:
        """What the file holds; nothing when there is none."""
        if path is None or not path.exists():
            return cls(path)
        rows = json.loads(path.read_text())
        return cls(path, {(row.pop("network"), row.pop("pass"), row.pop("builder")): Cell(**row) for row in rows})

    def __getitem__(self, place: Place) -> Cell:
        return self._cells[place]

    def __setitem__(self, place: Place, cell: Cell) -> None:
        self._cells[place] = cell
        self._write()

    def __delitem__(self, place: Place) -> None:
        del self._cells[place]
        self._write()

    def __iter__(self) -> Iterator[Place]:
        return iter(self._cells)

    def __len__(self) -> int:
        return len(self._cells)

    def _write(self) -> None:
        if self.path is None:
            return
        rows = [
            {"network": network, "pass": name, "builder": builder, **asdict(cell)}
            for (network, name, builder), cell in self._cells.items()
        ]
        aside = self.path.with_suffix(".tmp")
        aside.write_text("".join(f"{'[,'[bool(i)]} {json.dumps(row)}\n" for i, row in enumerate(rows)) + "]\n")
        aside.replace(self.path)
