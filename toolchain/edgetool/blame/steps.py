"""Which layer lost the accuracy, as a step of a build: of its passes, or of the export before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgetool.blame.findings import Blame
from edgetool.blame.recorded import blame_from
from edgetool.blame.task import BlameTask
from edgetool.engine.data import DataState, Purpose, data_request, read_data
from edgetool.engine.planned import BuildPlan
from edgetool.engine.prepare import ModelState, Prepared
from edgetool.engine.stepper import Stepper, StepRequest
from edgetool.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Effort:
    """How closely to look: samples, the layers that get a run of their own, and threads."""

    samples: int
    worst: int
    threads: int


def blame_passes(plan: BuildPlan, prepared: Prepared, stepper: Stepper, effort: Effort) -> Blame:
    """What the passes of the recipe lost, layer by layer.

    Raises:
        ConfigError: there are no samples.
    """
    data = _samples(plan, stepper, prepared.reference)
    return _blame(prepared.reference, prepared, data, stepper, effort, of="compression")


def blame_export(plan: BuildPlan, reference: ModelState, imported: Prepared, stepper: Stepper, effort: Effort) -> Blame:
    """Where the imported network departs from one that it should be equal to; the node where that begins comes first.

    Raises:
        ConfigError: there are no samples, or the two do not have the same inputs and outputs.
    """
    _require_one_signature(plan, reference, imported.reference)
    data = _samples(plan, stepper, reference)
    return _blame(reference, imported, data, stepper, effort, of="export")


def _samples(plan: BuildPlan, stepper: Stepper, reference: ModelState) -> DataState:
    purpose: Purpose = "evaluation" if data_request(plan, "evaluation") else "calibration"
    return read_data(plan, stepper, purpose, reference.signature)


def _require_one_signature(plan: BuildPlan, reference: ModelState, imported: ModelState) -> None:
    for kind in ("inputs", "outputs"):
        wanted, found = (
            {row.name: (row.dtype, len(row.shape)) for row in getattr(state.signature, kind)}
            for state in (reference, imported)
        )
        if wanted != found:
            raise ConfigError(
                "reference-of-others",
                f"the reference has the {kind} {_named(wanted)}, and {plan.source.text} has {_named(found)}",
                where="--reference",
                hint="name the network that this one should be equal to, with inputs and outputs of the same names",
            )


def _named(row: dict[str, tuple[str, int]]) -> str:
    return ", ".join(f"{name} ({dtype}, rank {rank})" for name, (dtype, rank) in row.items())


def _blame(
    original: ModelState,
    prepared: Prepared,
    data: DataState,
    stepper: Stepper,
    effort: Effort,
    *,
    of: Literal["compression", "export"],
) -> Blame:
    changed = prepared.model if of == "compression" else prepared.reference
    fixed = dict(prepared.fixed_inputs) if of == "compression" else {}
    rescaled = prepared.rescaled if of == "compression" else ()
    entry = stepper.run(
        StepRequest(
            name="blame",
            task="blame",
            parts={
                "original": original.digest,
                "compressed": changed.digest,
                "data": data.digest,
                "samples": effort.samples,
                "worst": effort.worst,
                "fixed_inputs": fixed,
                "rescaled": [[dict(row.tensors), list(row.factor)] for row in rescaled],
                "of": of,
            },
            make=lambda folder: BlameTask(
                original=original.file(),
                compressed=changed.file(),
                data=data.request,
                samples=effort.samples,
                worst=effort.worst,
                threads=effort.threads,
                fixed_inputs=fixed,
                rescaled=rescaled,
                of=of,
            ),
        )
    )
    return blame_from(entry.result)
