"""What is inside a model: operators, parameters, multiply-accumulates, memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Inspection:
    path: Path


def inspect(path: Path) -> Inspection:
    raise NotImplementedError
