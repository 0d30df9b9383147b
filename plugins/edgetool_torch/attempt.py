"""Tries the routes one after the other until one gives a model that equals the network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.artifact import JsonValue
from edgetool.context import ImportContext
from edgetool.errors import ModelError
from edgetool.importers.base import ImportRequest
from edgetool_torch.eager import Eager, Expectation
from edgetool_torch.feeds import sweep
from edgetool_torch.opset import check_opset, opset_of, to_opset
from edgetool_torch.outputs import choose
from edgetool_torch.proof import Proof, prove
from edgetool_torch.reasons import worded
from edgetool_torch.routes import DEFAULT_OPSET, Job, RejectedError, Route, routes_for
from edgetool_torch.tidy import tidy

if TYPE_CHECKING:
    import onnx_ir as ir

_INLINE_LIMIT = 1_500_000_000
"""Bytes of weights up to which a model is one file."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A route that was tried in vain."""

    route: str
    reason: str
    where: str | None

    def to_json(self) -> dict[str, JsonValue]:
        return {"route": self.route, "reason": self.reason, "where": self.where}


@dataclass(frozen=True)
class Accepted:
    """The model that equals the network, and how it was found.

    Attributes:
        path: the .onnx file.
        route: name of the route that led to it.
        opset: of the file.
        exported_opset: what the exporter gave before any conversion.
        proof: how close it is.
        expectations: what it was compared with.
        assumptions: user's lines whose outcome the exporter fixed; the proof covers every size for them.
        rejected: the routes tried before.
    """

    path: Path
    route: str
    opset: int
    exported_opset: int
    proof: Proof
    expectations: tuple[Expectation, ...]
    assumptions: tuple[str, ...]
    rejected: tuple[Rejection, ...] = ()


def first_right(eager: Eager, request: ImportRequest, workdir: Path, context: ImportContext) -> Accepted:
    """The model of the first route that holds.

    Raises:
        ConfigError: `outputs-mismatch`, `unknown-opset`.
        ModelError: `export-failed` with every route's reason; `network-refuses-shape`.
    """
    network = eager.network
    opset = request.opset or DEFAULT_OPSET
    check_opset(opset)
    example = eager.example()
    expectations = list(eager.expect_declared())
    natural = tuple(expectations[0].outputs)
    outputs = choose(natural, request.outputs, [spec.name for spec in network.specs])
    routes = routes_for(network)
    rejected: list[Rejection] = []
    for index, route in enumerate(routes):
        context.progress(index, len(routes), f"exporting through {route.name}")
        with _scratch(workdir) as folder:
            job = Job(network, example, natural, opset, folder, eager.value_reads)
            try:
                accepted = _attempt(route, job, eager, expectations, outputs, context)
            except RejectedError as error:
                rejected.append(Rejection(route.name, error.reason, error.where))
                continue
            for file in accepted.path.parent.iterdir():
                file.rename(workdir / file.name)
        context.progress(len(routes), len(routes), f"exported through {route.name}")
        return replace(accepted, path=workdir / accepted.path.name, rejected=tuple(rejected))
    raise _export_failed(rejected, expectations)


@contextmanager
def _scratch(workdir: Path) -> Iterator[Path]:
    folder = workdir / "attempt"
    (folder / "model").mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _attempt(
    route: Route,
    job: Job,
    eager: Eager,
    expectations: list[Expectation],
    outputs: Sequence[tuple[int, str]],
    context: ImportContext,
) -> Accepted:
    """One route to its end. Sizes that it assumes away join `expectations`, where later routes meet them too."""
    export = route.export(job)
    network = eager.network
    more = [*export.witnesses, *(sweep(network.dims) if export.assumptions else ())]
    known = [row.sizes for row in expectations]
    for sizes in more:
        if sizes not in known:
            expectations += eager.expect(sizes)
    exported_opset = opset_of(export.model)
    model = to_opset(export.model, job.opset)
    tidy(model, inputs=network.specs, order=network.calling.input_order, outputs=outputs, expectations=expectations)
    path = job.scratch / "model" / "model.onnx"
    _save(model, path)
    proof = prove(path, expectations, outputs, context.open_reference)
    return Accepted(path, route.name, opset_of(model), exported_opset, proof, tuple(expectations), export.assumptions)


def _save(model: ir.Model, path: Path) -> None:
    import onnx_ir as ir

    weights = sum(
        value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value is not None
    )
    ir.save(model, path, external_data=f"{path.name}.data" if weights > _INLINE_LIMIT else None)


def _export_failed(rejected: Sequence[Rejection], expectations: Sequence[Expectation]) -> ModelError:
    tried = list(dict.fromkeys(worded(row.sizes) for row in expectations))
    shown = "; ".join(tried[:6]) + (f"; and {len(tried) - 6} more" if len(tried) > 6 else "")
    reasons = " | ".join(f"{row.route}: {row.reason}" for row in rejected)
    return ModelError(
        "export-failed",
        f"no exporter gives a model that equals the network at all declared sizes ({shown}): {reasons}",
        where=next((row.where for row in rejected if row.where), None),
        hint=_cure(" ".join(row.reason for row in rejected)),
    )


def _cure(reasons: str) -> str:
    if "values of a tensor" in reasons or "value of a tensor" in reasons:
        return "choose between tensors with torch.where, or between branches with torch.cond"
    if "no ONNX translation" in reasons:
        return "rewrite that part with standard operators, or leave it out of the exported network"
    return "declare in [model.dims] only what one graph can do, or make forward() independent of the size"
