"""The promises that every pass makes, kept by `quantize-weights` in each of its methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from edgetool.runner import Runner
from edgetool.testing import PassConformance, tiny_cnn, tiny_int8_cnn, tiny_lstm, tiny_mlp, tiny_text
from edgetool_onnxruntime.reference import open_onnx
from edgetool_passes.quantize_weights import QuantizeWeights


class _QuantizeWeights(PassConformance):
    __test__ = False
    pass_class = QuantizeWeights
    models = (tiny_mlp, tiny_cnn, tiny_lstm, tiny_text)
    refused = (tiny_int8_cnn,)
    samples = 0

    def open_reference(self, path: Path) -> Runner:
        return open_onnx(path, 1)


class TestEightBits(_QuantizeWeights):
    __test__ = True
    options: ClassVar[dict[str, Any]] = {"min_size": 1}
    min_cosine = 0.999


class TestFourBits(_QuantizeWeights):
    __test__ = True
    options: ClassVar[dict[str, Any]] = {"bits": 4, "min_size": 1, "method": "hqq", "symmetric": False}
    min_cosine = 0.95


class TestGptq(_QuantizeWeights):
    __test__ = True
    options: ClassVar[dict[str, Any]] = {"bits": 4, "min_size": 1, "method": "gptq"}
    models = (tiny_mlp, tiny_cnn)
    min_cosine = 0.9
    samples = 16


class TestAwq(_QuantizeWeights):
    __test__ = True
    options: ClassVar[dict[str, Any]] = {"bits": 4, "min_size": 1, "method": "awq"}
    models = (tiny_mlp, tiny_cnn)
    min_cosine = 0.9
    samples = 16
