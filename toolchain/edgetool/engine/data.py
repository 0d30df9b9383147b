"""The user's samples as a step of a build: read once, and known by their digests from then on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from edgetool.config.schema import DataTable
from edgetool.engine.conversion import DatasetTask
from edgetool.engine.events import StepNote
from edgetool.engine.planned import BuildPlan
from edgetool.engine.requests import DataRequest, request_json
from edgetool.engine.stepper import Stepper, StepRequest
from edgetool.errors import ConfigError
from edgetool.signature import Signature

Purpose = Literal["calibration", "evaluation"]


@dataclass(frozen=True, slots=True)
class DataState:
    """Samples that were read once: what they are, not the samples themselves. `feeds` are digests, one a sample."""

    request: DataRequest
    digest: str
    count: int
    feeds: tuple[str, ...]


def read_data(
    plan: BuildPlan, stepper: Stepper, purpose: Purpose, signature: Signature, *, keep: int | None = None
) -> DataState:
    """Read all samples of `[data] calibration` or `evaluation` once; up to `keep` bytes stay in the child's memory.

    Raises:
        ConfigError: the file names none.
    """
    request = data_request(plan, purpose)
    if request is None:
        wanting = next((row.name for row in plan.passes if row.wants_calibration), purpose)
        raise ConfigError(
            "no-calibration-data",
            f"pass {wanting!r} needs calibration data and none is given",
            where=f"{plan.config.path} [data] {purpose}",
            hint='name a folder of npz, npy or images, or "module:function"; random data is never used',
        )
    entry = stepper.run(
        StepRequest(
            name=f"{purpose}-data",
            task="dataset",
            parts={"data": _where_from(request), "signature": [spec.to_json() for spec in signature.inputs]},
            make=lambda folder: DatasetTask(request, signature, keep),
            discovers=True,
        )
    )
    result = entry.result
    for text in result["warnings"]:
        stepper.tell(StepNote(stepper.target, f"{purpose}-data", text))
    digest = str(result["digest"])
    return DataState(replace(request, digest=digest), digest, int(result["count"]), tuple(result["feeds"]))


def _where_from(request: DataRequest) -> dict[str, Any]:
    """What of a data request decides its samples; the project's own place does not."""
    parts: dict[str, Any] = request_json(request)
    del parts["root"], parts["digest"]
    return parts


def data_request(plan: BuildPlan, purpose: Purpose) -> DataRequest | None:
    data: DataTable = plan.config.data
    spec = data.calibration if purpose == "calibration" else data.evaluation
    if spec is None:
        return None
    limit = data.limit if purpose == "calibration" else None
    return DataRequest(spec, plan.config.root, purpose, data.preprocess, limit)
