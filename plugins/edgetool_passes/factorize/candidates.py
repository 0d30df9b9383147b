"""The spectrum of every layer, from the samples where there are any, and the form that suits it best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.qdq.index import GraphIndex
from edgetool_passes.factorize import spectrum
from edgetool_passes.factorize.bias import bias_of
from edgetool_passes.factorize.forms import Form, Separable, Types
from edgetool_passes.factorize.layers import Layer
from edgetool_passes.factorize.observation import Moments, Uses
from edgetool_passes.factorize.ranks import Candidate, Cost
from edgetool_passes.factorize.spectrum import Spectrum

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Trust:
    """How far samples are believed.

    Attributes:
        prior: share of the weight that all inputs alike have; the rest is for those that were seen.
        embedding_prior: the same for rows of tables.
    """

    prior: float
    embedding_prior: float


@dataclass(frozen=True, eq=False)
class Known:
    """A candidate, and the mean of its results without bias; None where it is unknown or cannot be taken back."""

    candidate: Candidate
    mean: Array | None


def candidate_of(
    layer: Layer, seen: Moments | Uses | None, index: GraphIndex, types: Types, trust: Trust, *, step: int, least: float
) -> Known:
    """A layer with the form that loses least at half its parameters, and what its ranks would lose."""
    weight = index.values(layer.weight)
    plain = {form: spectrum.of_weight(form.matrix(weight)) for form in layer.forms} if len(layer.forms) > 1 else {}
    form = min(plain, key=lambda form: _loss_at_half(form, plain[form])) if plain else layer.forms[0]
    found, mean = _spectrum(layer, form, form.matrix(weight), seen, index, trust)
    macs = [form.macs(node, types) for node in layer.nodes]
    parameters = Cost(layer.size, sum(form.sides))
    cost = Cost(sum(whole for whole, _ in macs), sum(rank for _, rank in macs))
    return Known(Candidate(layer, form, found, parameters, cost, step, least), mean)


def _loss_at_half(form: Form, found: Spectrum) -> float:
    rows, columns = form.sides
    return float(found.losses[min(found.most, rows * columns // (2 * (rows + columns)))])


def _spectrum(
    layer: Layer, form: Form, matrix: Array, seen: Moments | Uses | None, index: GraphIndex, trust: Trust
) -> tuple[Spectrum, Array | None]:
    import numpy as np

    if isinstance(seen, Uses):
        total, rows = max(float(seen.counts.sum()), 1.0), len(seen.counts)
        prior = trust.embedding_prior
        return spectrum.of_inputs(matrix, (1 - prior) * seen.counts / total + prior / rows), None
    if seen is None or seen.count == 0 or isinstance(form, Separable):
        return spectrum.of_weight(matrix), None
    bias = bias_of(layer, index)
    mean = seen.sums / seen.count
    moments = seen.products / seen.count
    if bias is not None:
        moments = moments - np.outer(mean, mean)
    if layer.nodes[0].op_type == "Conv":
        wide = matrix.astype(np.float64)
        blended = _blend(moments, wide.T @ wide, trust.prior)
        return spectrum.of_results(blended), None if bias is None else mean - bias.values
    blended = _blend(moments, np.eye(len(moments)), trust.prior)
    return spectrum.of_inputs(matrix, blended), None if bias is None else mean @ matrix


def _blend(moments: Array, prior: Array, share: float) -> Array:
    """Both with a trace of one, mixed."""
    import numpy as np

    trace = float(np.trace(moments))
    if trace <= 0:
        return prior
    return (1 - share) * moments / trace + share * prior / max(float(np.trace(prior)), 1e-30)
