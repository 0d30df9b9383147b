"""The contract of a pass: Model in, Model out, precision in the graph, no word of any backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pydantic

from edgetool.artifact import Facts, Model
from edgetool.context import PassContext
from edgetool.problem import Problem


class PassOptions(pydantic.BaseModel):
    """Base of every pass's options: closed, immutable, each field documented."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


def from_fact(name: str) -> dict[str, Any]:
    """Marks an option that the plan fills from the target's facts when the user leaves it unset.

    Use as ``Field(default=8, json_schema_extra=from_fact("weight_bits"), description=...)``.
    """
    return {"fact": name}


@dataclass(frozen=True, slots=True)
class Rescaled:
    """Tensors whose channels were divided by the same numbers: they mean something else, and have new names.

    Attributes:
        tensors: new name -> the name that the tensor had in the pass's input.
        factor: by channel, along axis 1: times this, the new tensor is the old one.
    """

    tensors: Mapping[str, str]
    factor: tuple[float, ...]


@dataclass(frozen=True)
class PassResult:
    """What a pass did.

    Attributes:
        model: the new model inside the work directory, or the input model itself when nothing changed.
        changed: False promises that `model` is the input model; the framework checks it.
        facts: JSON facts about what was done, e.g. `{"quantized": 52, "excluded": ["/fc/MatMul"]}`.
        rescaled: tensors that were scaled and renamed, for those who compare the networks before and after.
    """

    model: Model
    changed: bool
    facts: Facts = field(default_factory=dict)
    rescaled: tuple[Rescaled, ...] = ()


OptionsT = TypeVar("OptionsT", bound=PassOptions)


class Pass(ABC, Generic[OptionsT]):
    """Model -> Model. The input file is never modified; the framework checks this and the signature.

    A module that defines a pass must import neither numpy nor onnx at its top level in order to be
    planned quickly: import them inside `check` and `apply`.

    Class attributes:
        Options: the pydantic model of its options.
        revision: raise it when the same options give different output; it is part of the cache key.
        changes_signature: True when the pass may change input or output shapes (`specialize`).
    """

    Options: ClassVar[type[PassOptions]]
    revision: ClassVar[int] = 1
    changes_signature: ClassVar[bool] = False

    def __init__(self, options: OptionsT) -> None:
        self.options = options

    @classmethod
    def wants_calibration(cls, options: PassOptions) -> bool:
        """True when these options need the user's calibration data."""
        return False

    @classmethod
    def welcomes_calibration(cls, options: PassOptions) -> bool:
        """True when the pass does better with the user's calibration data, but does without."""
        return False

    def check(self, model: Model) -> tuple[Problem, ...]:
        """Reasons why the pass does not apply to this model; a refusal ends the build with exit 3."""
        return ()

    @abstractmethod
    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Write the new model into `workdir` (it exists and is empty) and say what was done."""


AnyPass = Pass[Any]
