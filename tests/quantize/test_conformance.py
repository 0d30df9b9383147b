"""The promises that every pass makes, kept by the quantizing ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from edgetool.runner import Runner
from edgetool.testing import (
    MakeModel,
    PassConformance,
    tiny_branches,
    tiny_cnn,
    tiny_int8_cnn,
    tiny_lstm,
    tiny_mlp,
)
from edgetool_nncf.quantize import NncfQuantize
from edgetool_onnxruntime.reference import open_onnx
from edgetool_passes.quantize_dynamic import QuantizeDynamic
from edgetool_passes.quantize_static import QuantizeStatic


class _InOnnxRuntime(PassConformance):
    __test__ = False

    def open_reference(self, path: Path) -> Runner:
        return open_onnx(path, 1)


class TestQuantizeStatic(_InOnnxRuntime):
    __test__ = True
    pass_class = QuantizeStatic
    models = (tiny_mlp, tiny_cnn, tiny_lstm, tiny_branches)
    refused = (tiny_int8_cnn,)
    min_cosine = 0.98
    samples = 16


class TestQuantizeDynamic(_InOnnxRuntime):
    __test__ = True
    pass_class = QuantizeDynamic
    models = (tiny_mlp, tiny_lstm)
    refused = (tiny_cnn, tiny_int8_cnn)
    min_cosine = 0.98
    samples = 0


@pytest.mark.slow
class TestNncfQuantize(_InOnnxRuntime):
    __test__ = True
    pass_class = NncfQuantize
    options: ClassVar[dict[str, Any]] = {"samples": 8}
    models: ClassVar[tuple[MakeModel, ...]] = (tiny_mlp, tiny_cnn)
    refused: ClassVar[tuple[MakeModel, ...]] = (tiny_int8_cnn,)
    min_cosine = 0.97
    samples = 8
