"""What other tools make of the same network and the same samples, as their own documentation has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgetool.runner import Feeds

Infer = Callable[[Feeds], dict[str, np.ndarray[Any, Any]]]
Peer = Literal["ort-per-tensor", "ort-per-channel", "ort-dynamic", "nncf", "nncf-transformer"]


Shapes = Mapping[str, tuple[int, ...]]


def make(
    peer: Peer, model: Path, samples: Sequence[Feeds], folder: Path, *, fixed: Shapes | None = None
) -> tuple[Infer, int]:
    """The peer's engine, and the bytes of its file.

    Args:
        fixed: shapes of one row to compile for, where that makes the peer faster; batches then run row by row.
    """
    if peer.startswith("nncf"):
        return _nncf(model, samples, folder, transformer=peer == "nncf-transformer", fixed=fixed)
    target = folder / f"{peer}.onnx"
    if peer == "ort-dynamic":
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(model, target, weight_type=QuantType.QInt8, per_channel=True)
    else:
        _ort_static(model, samples, target, per_channel=peer == "ort-per-channel")
    return open_onnx_file(target), target.stat().st_size


def open_onnx_file(path: Path) -> Infer:
    """An ONNX file in ONNX Runtime, one thread."""
    from edgetool.engine.reference import open_reference

    return open_reference(path, 1).infer


def row_by_row(infer: Infer) -> Infer:
    """For engines that take one row at a time: a batch is cut, and the outputs are put together again."""

    def rows(feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        count = len(next(iter(feeds.values())))
        if count == 1:
            return infer(feeds)
        parts = [infer({name: values[row : row + 1] for name, values in feeds.items()}) for row in range(count)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return rows


def _ort_static(model: Path, samples: Sequence[Feeds], target: Path, *, per_channel: bool) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self) -> None:
            self.left = iter(samples)

        def get_next(self) -> Feeds | None:
            return next(self.left, None)

    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(model, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared, target, Reader(), quant_format=QuantFormat.QDQ, per_channel=per_channel,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip


def _nncf(
    model: Path, samples: Sequence[Feeds], folder: Path, *, transformer: bool, fixed: Shapes | None
) -> tuple[Infer, int]:
    from benchmarks.tune import _compiled
    from edgetool_nncf.toolkit import load_nncf, quiet
    from edgetool_openvino.runtime import load_runtime

    openvino, nncf = load_runtime(), load_nncf()
    with quiet(nncf):
        quantized = nncf.quantize(
            openvino.convert_model(model),
            nncf.Dataset(list(samples)),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER if transformer else None,
            subset_size=len(samples),
        )
    if fixed is not None:
        quantized.reshape({name: list(shape) for name, shape in fixed.items()})
    target = folder / "nncf.xml"
    openvino.save_model(quantized, target, compress_to_fp16=False)
    infer = _compiled(target)
    return infer if fixed is None else row_by_row(infer), target.with_suffix(
        ".bin"
    ).stat().st_size + target.stat().st_size
