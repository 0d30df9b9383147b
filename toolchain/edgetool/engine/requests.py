"""Values that requests to a child process are made of, and their way into JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgetool.artifact import Model
from edgetool.backends.base import Site
from edgetool.config.schema import PreprocessTable
from edgetool.engine.records import adapter
from edgetool.signature import Signature


@dataclass(frozen=True, slots=True)
class DataRequest:
    """Where samples come from; see `edgetool.validate.data.open_dataset`.

    Attributes:
        digest: of the samples when they were first read: reading must give the same ones each time.
    """

    spec: str
    root: Path
    role: Literal["calibration", "evaluation"]
    preprocess: PreprocessTable | None = None
    limit: int | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Plug:
    """A plugin's class and its options; for a backend, its site too."""

    loader: str
    options: dict[str, Any]
    site: Site | None = None


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A Model across the boundary."""

    path: Path
    signature: Signature

    def model(self) -> Model:
        return Model(self.path, self.signature)


def request_json(task: object) -> dict[str, Any]:
    """A task as the JSON that `read_request` understands."""
    data: dict[str, Any] = adapter(type(task)).dump_python(task, mode="json")
    return data
