"""The contract of an importer: a source in, a proven Model out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pydantic

from edgetool.artifact import Facts, Model
from edgetool.context import ImportContext
from edgetool.signature import DimRange, TensorSpec


class ImporterOptions(pydantic.BaseModel):
    """Base of every importer's options: the table `[model.IMPORTER]`. Closed, immutable, documented."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Source:
    """What the user has.

    Attributes:
        text: as the user wrote it, for messages and the manifest.
        path: the file, absolute; None for a factory.
        factory: `module:function`, or None for a file.
        weights: file with the factory's weights (safetensors or a weights-only state dict), absolute.
        root: folder that relative names and the user's modules are found from.
        trusted: the user passed `--trust-source`: unpickling is allowed.
    """

    text: str
    path: Path | None
    factory: str | None
    weights: Path | None
    root: Path
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What the user declared about the model that is to come out.

    Attributes:
        inputs: by name, in the order of targets.toml; empty when the source knows them itself.
        outputs: wanted output names in order; empty when the source decides.
        dims: ranges of the symbolic dimensions.
        opset: wanted opset, or None for the importer's choice.
    """

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[str, ...] = ()
    dims: Mapping[str, DimRange] = field(default_factory=dict)
    opset: int | None = None


@dataclass(frozen=True)
class ImportResult:
    """A proven Model and how it came about (route taken, routes rejected and why, shapes proven at)."""

    model: Model
    facts: Facts = field(default_factory=dict)


OptionsT = TypeVar("OptionsT", bound=ImporterOptions)


class Importer(ABC, Generic[OptionsT]):
    """Source -> Model. Modules that define importers import their frameworks inside `convert` only."""

    Options: ClassVar[type[ImporterOptions]]
    revision: ClassVar[int] = 1

    def __init__(self, options: OptionsT) -> None:
        self.options = options

    @classmethod
    @abstractmethod
    def tools(cls) -> tuple[str, ...]:
        """Distribution names whose versions decide the result; part of the cache key."""

    @abstractmethod
    def convert(self, source: Source, request: ImportRequest, workdir: Path, context: ImportContext) -> ImportResult:
        """Write the model into `workdir` (it exists and is empty), proven at several shapes."""


AnyImporter = Importer[Any]
