"""Networks as other quantizers write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgetool.artifact import Model
from edgetool.graph import read_model
from tests.quantize.conftest import (
    Feed,
    make_residual_cnn,
    pictures,
)


def quantized_elsewhere(model: Model, path: Path, feeds: Sequence[Feed], **settings: Any) -> Model:
    """The model as ONNX Runtime's own static quantizer writes it."""
    from onnxruntime import quantization

    waiting = iter(feeds)

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]  # the package is untyped
        def get_next(self) -> Feed | None:
            return next(waiting, None)

    quantization.quantize_static(str(model.path), str(path), Reader(), **settings)
    return read_model(path, model.signature.dims)


def unsigned_cnn(folder: Path) -> Model:
    """The residual network, quantized by ONNX Runtime's defaults: uint8 activations, int32 biases, no Relu."""
    return quantized_elsewhere(make_residual_cnn(folder), folder / "unsigned.onnx", pictures(2))


def sixteen_bit_cnn(folder: Path) -> Model:
    from onnxruntime.quantization import QuantType

    settings = {"activation_type": QuantType.QUInt16}
    return quantized_elsewhere(make_residual_cnn(folder), folder / "sixteen.onnx", pictures(2), **settings)
