"""What engines execute, by the layer descriptions of each major."""

from __future__ import annotations

import json

import pytest

from edgetool.backends.base import NodeEvidence
from edgetool_tensorrt.layers import parse_layers


def layer(name: str, kind: str, reads: dict[str, object] | None, **more: object) -> dict[str, object]:
    return {"Name": name, "LayerType": kind, "Inputs": [{"Name": "x", **reads}] if reads else [], **more}


COMBINED, LINEAR = "Format/Datatype", "Row major linear FP32 format (kLINEAR)"
DETAILED_8_AND_10 = {
    "Layers": [
        layer("Reformatting CopyNode for Input Tensor 0 to conv_1", "Reformat", {COMBINED: "Row major linear FP32"}),
        layer(
            "conv_1 + relu_1", "CaskConvolution", {COMBINED: "Thirty-two wide channel vectorized row major Int8 format"}
        ),
        layer("{ForeignNode[a...b]}", "DLA", {COMBINED: "Channel major FP16 format where channel % 16 == 0"}),
        layer("fc", "gemm", {COMBINED: "N/A due to dynamic shapes"}, Weights={"Type": "Half", "Count": 64}),
        layer("ones", "Constant", None, Outputs=[{"Name": "one", COMBINED: "Float"}]),
        layer("late", "gemm", {COMBINED: "N/A due to dynamic shapes"}),
    ],
    "Bindings": ["x", "z"],
}
DETAILED_11 = {
    "Layers": [
        layer("attention", "kgen", {"DataType": "BFloat16", "Format": "Row major linear (kLINEAR)"}),
        layer("eight", "gemm", {"DataType": "FP8", "Format": LINEAR}),
        layer("ids", "Gather", {"DataType": "Int64", "Format": LINEAR}),
    ],
    "I/O Tensors": [{"Name": "x", "IOMode": "Input", "DataType": "BFloat16"}],
}


def test_layers_of_tensorrt_8_and_10() -> None:
    """What only moves data, and constants, are left out."""
    assert parse_layers(json.dumps(DETAILED_8_AND_10)) == (
        NodeEvidence("conv_1 + relu_1", "CaskConvolution", "int8", "GPU"),
        NodeEvidence("{ForeignNode[a...b]}", "DLA", "float16", "DLA"),
        NodeEvidence("fc", "gemm", "float16", "GPU"),
        NodeEvidence("late", "gemm", "unknown", "GPU"),
    )


def test_layers_of_tensorrt_11() -> None:
    assert [(row.name, row.precision) for row in parse_layers(json.dumps(DETAILED_11))] == [
        ("attention", "bfloat16"),
        ("eight", "float8_e4m3fn"),
        ("ids", "int64"),
    ]


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"Layers": 3}', '{"Layers": [3]}', '{"Layers": ["conv_1 + relu_1"], "Bindings": ["x"]}']
)
def test_nothing_is_told_without_details(text: str) -> None:
    assert parse_layers(text) == ()
