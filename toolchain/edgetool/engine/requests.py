"""Values that requests to a child process are made of, and their way into JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgetool.artifact import Engine, Model
from edgetool.backends.base import HERE, Backend, Site
from edgetool.config.schema import PreprocessTable
from edgetool.context import BuildContext
from edgetool.engine.records import adapter
from edgetool.engine.tensors import Header
from edgetool.plugin.loading import load_object
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


@dataclass(frozen=True, slots=True)
class EngineFile:
    """An Engine across the boundary, and how to open it.

    Attributes:
        site: where it is opened.
        facts: the engine's own.
        stand_in: what takes the place of its real device there, if anything does.
    """

    loader: str
    options: dict[str, Any]
    backend: str
    directory: Path
    entry: str
    precision: str
    signature: Signature
    threads: int
    site: Site = HERE
    facts: dict[str, Any] = field(default_factory=dict)
    stand_in: str | None = None

    def engine(self) -> Engine:
        return Engine(self.backend, self.directory, self.entry, self.precision, self.signature, facts=self.facts)

    def plugin(self) -> Backend[Any]:
        kind: type[Backend[Any]] = load_object(self.loader, Backend, what=self.backend)
        return kind(kind.Options.model_validate(self.options), self.site)

    def context(self) -> BuildContext:
        return BuildContext(threads=self.threads)


@dataclass(frozen=True, slots=True)
class TensorsAt:
    """Feeds or results in a file; `runs` is how often to infer with them when timing."""

    path: Path
    header: Header
    runs: int = 1


def request_json(task: object) -> dict[str, Any]:
    """A task as the JSON that its handler reads."""
    data: dict[str, Any] = adapter(type(task)).dump_python(task, mode="json")
    return data
