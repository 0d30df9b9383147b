"""The model card of a bill of materials (CycloneDX 1.6): what goes in and out, how good it is, and where it ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgetool.artifact import JsonValue
from edgetool.bundle.manifest import Manifest
from edgetool.signature import Dim, TensorSpec

_FIGURES = {
    "cosine": "cosine similarity",
    "sqnr_db": "signal to quantization noise ratio, dB",
    "max_abs": "largest absolute difference",
    "top1": "agreement of the first class",
}
"""Keys of a difference that the card shows, and what they are called there."""


def model_card(manifest: Manifest, *, datasets: list[str]) -> dict[str, JsonValue]:
    """CycloneDX's `modelCard`.

    Args:
        manifest: of the bundle.
        datasets: references of the components that hold the data.
    """
    signature = manifest.signature
    card: dict[str, JsonValue] = {
        "modelParameters": {
            "datasets": [{"ref": ref} for ref in datasets],
            "inputs": [{"format": _format(spec)} for spec in signature.inputs],
            "outputs": [{"format": _format(spec)} for spec in signature.outputs],
        },
        "considerations": {
            "useCases": [f"inference on {manifest.target.name}: {manifest.target.compatibility}"],
            "technicalLimitations": list(_limitations(manifest)),
            "performanceTradeoffs": list(_tradeoffs(manifest)),
        },
    }
    if metrics := list(_metrics(manifest)):
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    return card


def _format(spec: TensorSpec) -> str:
    return f"{spec.name}: {spec.dtype}[{', '.join(map(_dim, spec.shape))}]"


def _dim(dim: Dim) -> str:
    return "?" if dim is None else str(dim)


def _metrics(manifest: Manifest) -> Iterator[JsonValue]:
    samples = f"{manifest.evaluation.count} evaluation samples" if manifest.evaluation else "no evaluation samples"
    score = _table(manifest.validation.get("score"))
    if score:
        name = str(score.get("metric"))
        yield {"type": name, "value": str(score.get("engine")), "slice": samples}
        yield {"type": f"{name} of the float reference", "value": str(score.get("reference")), "slice": samples}
    for row in map(_table, manifest.validation.get("outputs") or ()):
        for key, text in _FIGURES.items():
            if row.get(key) is not None:
                where = f"output {row.get('output')}, {samples}"
                yield {"type": f"{text}, against the float reference", "value": str(row[key]), "slice": where}


def _limitations(manifest: Manifest) -> Iterator[str]:
    dims = manifest.signature.dims
    for name in manifest.signature.symbols:
        size = dims.get(name)
        yield (
            f"dimension {name} is from {size.min} to {size.max}" if size else f"dimension {name} has no declared range"
        )
    if manifest.preprocessing:
        yield "pictures must be prepared as manifest.json says under preprocessing"
    status = manifest.validation.get("status")
    if status != "passed":
        why = manifest.validation.get("why_not")
        yield f"the validation is {status}" + (f": {why}" if why else "")
    if manifest.evaluation is None:
        yield "no samples of its user were there to judge it by"
    for name in manifest.stands_in_for:
        yield f"it proves nothing for {name}, in whose place it was built"
    for row in manifest.verdicts:
        if row.get("status") != "held":
            yield f"budget {row.get('name')} is {row.get('status')}"


def _tradeoffs(manifest: Manifest) -> Iterator[str]:
    if manifest.precision == "float32":
        return
    text = f"it computes in {manifest.precision}"
    score = _table(manifest.validation.get("score"))
    if score:
        metric = score.get("metric")
        text += f", with a {metric} of {score.get('engine')} where float32 has {score.get('reference')}"
    yield text


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
