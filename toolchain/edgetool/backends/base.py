"""The contract of a backend: typed ONNX in, engine out, and a runner that infers with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pydantic

from edgetool.artifact import Engine, Facts, JsonValue, Model
from edgetool.context import BuildContext
from edgetool.problem import Problem
from edgetool.runner import Runner


class BackendOptions(pydantic.BaseModel):
    """Base of every backend's options: the table `[targets.NAME.BACKEND]`. Closed, immutable, documented."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Site:
    """Where engines are built and run, and for what: `[targets.NAME.builder]` and `[targets.NAME.facts]`.

    Attributes:
        builder: one of the backend's `builders`, or `auto`.
        host: the device to build and run on, as ssh knows it; None for this machine.
        facts: of the target, from the catalogue and the file: `isa`, `max_opset`, `sm`, ...
    """

    builder: str = "auto"
    host: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


HERE = Site()
"""This machine, with nothing known of the target."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether engines can be built with a backend at its site, and whether they can run there.

    Attributes:
        can_build: the tools are there and work.
        can_run: the device that the options name (or its named stand-in) is there.
        version: of the runtime, or None when it is not installed.
        why_not: one sentence whenever one of the two is False.
        fix: the exact command or setting that would help.
        stand_in: name of the device or runtime that takes the place of the real one here, if any.
        builder: which of the backend's builders serves, where it has more than one.
        why_builder: one sentence: why this one.
        device: what of the device decides the engine's bytes; part of the engine's cache key.
        device_error: code of the error where the device cannot be reached or is not as the target describes it;
            the build then ends with exit 6 instead of 5.
        known_issues: what is known to go wrong with this runtime on this device, a sentence each.
        deferred: what is built here is not the engine yet, but what the device makes one of; nothing about the engine's
            size and speed is known before.
    """

    can_build: bool
    can_run: bool
    version: str | None
    why_not: str | None = None
    fix: str | None = None
    stand_in: str | None = None
    builder: str | None = None
    why_builder: str | None = None
    device: Mapping[str, Any] = field(default_factory=dict)
    device_error: str | None = None
    known_issues: tuple[str, ...] = ()
    deferred: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one node of the model goes.

    Attributes:
        node: its name (or `op_type` with index when it has none).
        op_type: its operator.
        device: who runs it, e.g. `CPU`, `FPGA`; None when nobody does.
        reason: why it is refused or falls off the accelerator.
    """

    node: str
    op_type: str
    device: str | None
    reason: str | None = None

    def to_json(self) -> dict[str, JsonValue]:
        return {"node": self.node, "op_type": self.op_type, "device": self.device, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Legalization:
    """A documented pass that would make a refused model acceptable, with the options it needs."""

    use: str
    options: Facts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Support:
    """A backend's static verdict on a model.

    Attributes:
        placements: one row for every node of the main graph and of its subgraphs.
        problems: refusals (and warnings); any refusal means that the model cannot be built.
        accelerator: the device that nodes are meant to run on; nodes elsewhere count as off-accelerator.
        legalize: a pass that the backend asks for, when that would cure the refusals.
    """

    placements: tuple[Placement, ...]
    accelerator: str
    problems: tuple[Problem, ...] = ()
    legalize: Legalization | None = None

    @property
    def accepted(self) -> bool:
        return not any(problem.severity == "refuse" for problem in self.problems)

    @property
    def off_accelerator(self) -> tuple[Placement, ...]:
        return tuple(row for row in self.placements if row.device != self.accelerator)


@dataclass(frozen=True, slots=True)
class NodeEvidence:
    """What one executed node really was: read back from the runtime, not hoped for."""

    name: str
    op_type: str
    precision: str
    device: str

    def to_json(self) -> dict[str, JsonValue]:
        return {"name": self.name, "op_type": self.op_type, "precision": self.precision, "device": self.device}


@dataclass(frozen=True, slots=True)
class Evidence:
    """How the runtime executes an engine.

    Attributes:
        nodes: the executed graph, one row a kernel.
        unfused: names of quantized nodes that run in float after all, so that int8 does not pay there.
    """

    nodes: tuple[NodeEvidence, ...] = ()
    unfused: tuple[str, ...] = ()

    def precision_counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for node in self.nodes:
            counts[node.precision] = counts.get(node.precision, 0) + 1
        return counts


@dataclass(frozen=True, slots=True)
class DeviceSources:
    """The part of a device's self-test that knows the backend's runtime; `edgetool.selftest` has the rest.

    Attributes:
        runtime: the product that loads the engine, as `RUNTIME_NAME` in the files spells it.
        files: name to content: C or C++ that implements `runtime.h`, and `runtime.cmake`, which says how to compile it.
        settings: name and value, in the order in which they apply: how this engine is opened. They are read when the
            self-test runs, so that one program serves all bundles of a runtime.
    """

    runtime: str
    files: Mapping[str, bytes]
    settings: tuple[tuple[str, str], ...] = ()


OptionsT = TypeVar("OptionsT", bound=BackendOptions)


class Backend(ABC, Generic[OptionsT]):
    """Model -> Engine for a device. Runs in a child process, except for `probe` and `tools`.

    A module that defines a backend must import its runtime inside the methods, so that it can be planned
    without it: `probe` uses `importlib.util.find_spec` and `importlib.metadata.version` where that is enough.

    Class attributes:
        Options: the pydantic model of `[targets.NAME.BACKEND]`.
        revision: raise it when the same model and options give another engine; part of the cache key.
        deterministic: True promises the same engine bytes for the same inputs.
        builders: what `[targets.NAME.builder] kind` may name, besides `auto`.
        isa_variable: environment variable that makes the runtime leave newer instruction sets of the processor
            unused, with values in the words of oneDNN's ONEDNN_MAX_CPU_ISA; None where it has none.
    """

    Options: ClassVar[type[BackendOptions]]
    revision: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True
    builders: ClassVar[tuple[str, ...]] = ("local",)
    isa_variable: ClassVar[str | None] = None

    def __init__(self, options: OptionsT, site: Site = HERE) -> None:
        self.options = options
        self.site = site

    @classmethod
    @abstractmethod
    def tools(cls) -> tuple[str, ...]:
        """Distribution names whose versions decide the engine's bytes; part of the cache key."""

    @abstractmethod
    def probe(self) -> Availability:
        """Whether engines can be built and run at the site with these options. Never raises."""

    @abstractmethod
    def supports(self, model: Model, context: BuildContext) -> Support:
        """Static verdict, per node, without building."""

    @abstractmethod
    def build(self, model: Model, directory: Path, context: BuildContext) -> Engine:
        """Write the engine's files into `directory` (it exists and is empty)."""

    @abstractmethod
    def open(self, engine: Engine, context: BuildContext) -> Runner:
        """Load an engine and return its runner. Raises `DeviceError` where the device is not here."""

    def evidence(self, engine: Engine, context: BuildContext) -> Evidence:
        """How the runtime executes the engine; empty where it cannot tell."""
        return Evidence()

    def on_processor(self) -> bool:
        """Whether this machine's processor executes the engine, with kernels that its instruction sets decide."""
        return False

    def device_sources(self, engine: Engine) -> DeviceSources | None:
        """What a device compiles to test this engine without Python; None where the backend has nothing of the kind.

        Called when a bundle is written, with an unchanged engine, too: it must be quick, and import no runtime.
        """
        return None


AnyBackend = Backend[Any]
