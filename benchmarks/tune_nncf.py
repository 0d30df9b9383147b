"""NNCF's accuracy control on an example, as its documentation has it: the other side of `benchmarks.tune`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from benchmarks.tune import samples


def main(example: str, onnx: str, target: str, limit: str, *kind: str) -> None:
    """Quantize the network at `onnx` and save it at `target`; at most `limit` ("1%") of the metric is lost."""
    from edgetool_nncf.toolkit import load_nncf
    from edgetool_openvino.runtime import load_runtime

    openvino, nncf = load_runtime(), load_nncf()
    calibration, evaluation, metric = samples(example)

    def validate(compiled: Any, rows: Iterable[Any]) -> tuple[float, None]:
        names = [port.any_name for port in compiled.outputs]
        request = compiled.create_infer_request()
        outputs, labels = [], []
        for feeds, label in rows:
            request.infer(dict(feeds))
            outputs.append({name: np.array(request.get_tensor(name).data) for name in names})
            labels.append(label)
        return metric(outputs, labels), None

    quantized = nncf.quantize_with_accuracy_control(
        openvino.convert_model(onnx),
        calibration_dataset=nncf.Dataset(calibration),
        validation_dataset=nncf.Dataset(evaluation, lambda row: row[0]),
        validation_fn=lambda compiled, rows: validate(compiled, _labelled(rows, evaluation)),
        max_drop=float(limit.rstrip("%")) / 100,
        drop_type=nncf.DropType.ABSOLUTE,
        model_type=nncf.ModelType.TRANSFORMER if kind else None,
    )
    openvino.save_model(quantized, target, compress_to_fp16=False)


def _labelled(rows: Iterable[Any], evaluation: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """NNCF hands over the samples as the data source has them, or a selection of them."""
    found = list(rows)
    return found if found and isinstance(found[0], tuple) else evaluation[: len(found)]


if __name__ == "__main__":
    main(*sys.argv[1:])
