"""The contract of backends, on the CPU and on the stand-ins for devices that are not here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from edgetool.testing import BackendConformance, tiny_branches, tiny_cnn, tiny_int8_cnn, tiny_lstm, tiny_mlp, tiny_text
from edgetool_openvino.backend import OpenVino


class TestCpu(BackendConformance):
    backend = OpenVino
    models = (tiny_mlp, tiny_cnn, tiny_int8_cnn, tiny_lstm, tiny_branches, tiny_text)


class TestAuto(BackendConformance):
    backend = OpenVino
    options: ClassVar[Mapping[str, Any]] = {"device": "AUTO"}
    models = (tiny_mlp, tiny_cnn)


class TestHalfWeights(BackendConformance):
    backend = OpenVino
    options: ClassVar[Mapping[str, Any]] = {"compress_to_fp16": True}
    models = (tiny_mlp, tiny_lstm)
    min_cosine = 0.999


class TestBlob(BackendConformance):
    backend = OpenVino
    options: ClassVar[Mapping[str, Any]] = {"artifact": "blob"}
    models = (tiny_mlp,)


class TestFpgaStandIn(BackendConformance):
    backend = OpenVino
    options: ClassVar[Mapping[str, Any]] = {"device": "HETERO:FPGA,CPU", "stand_in": "FPGA_CPU"}
    models = (tiny_mlp,)
