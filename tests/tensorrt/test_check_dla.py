"""The DLA: who has one, what it runs, and in how many pieces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgetool.artifact import Model
from edgetool.backends import Legalization
from edgetool.signature import DimRange
from edgetool.testing import tiny_cnn, tiny_int8_cnn
from tests.tensorrt.checking import FLOAT, HALF, chain, judge, make, told

ORIN_NX = {"sm": 87, "soc": "tegra234", "dla_cores": 2}
X = (1, 8, 16, 16)


def half(path: Path, *op_types: str, **settings: Any) -> Model:
    return chain(path, *op_types, dtype=HALF, shape=settings.pop("shape", X), **settings)


def one(path: Path, op_type: str, stored: dict[str, Any] | None = None, *, y: Any = X, **attributes: Any) -> Model:
    nodes = [
        helper.make_node(op_type, ["x", *(stored or {})], ["m"], "odd", **attributes),
        helper.make_node("Relu", ["m"], ["y"], "relu"),
    ]
    return make(path, nodes, {"x": (HALF, X)}, {"y": (HALF, y)}, stored)


def test_a_network_that_runs_on_it_as_a_whole(tmp_path: Path) -> None:
    support = judge(half(tmp_path / "m.onnx", "Relu", "Sigmoid", "Tanh"), facts=ORIN_NX, dla_core=0)
    assert support.accelerator == "DLA"
    assert [row.device for row in support.placements] == ["DLA"] * 3
    assert support.problems == ()


def test_nodes_that_go_to_the_gpu_are_named_with_the_reason(tmp_path: Path) -> None:
    model = half(tmp_path / "m.onnx", "Relu", "Erf", "Tanh")
    support = judge(model, facts=ORIN_NX, dla_core=1)
    assert support.accepted
    assert [(row.node, row.device, row.reason) for row in support.off_accelerator] == [
        ("erf", "GPU", "the DLA does not run Erf")
    ]
    assert told(support, "2 parts").severity == "warn"
    alone = judge(model, facts=ORIN_NX, dla_core=1, gpu_fallback=False)
    assert told(alone, "`gpu_fallback` is off").nodes == ("erf",)
    assert not alone.accepted


@pytest.mark.parametrize(
    ("facts", "version", "core", "reason"),
    [
        ({"sm": 87, "dla_cores": 0}, "10.7", 0, "the target has no DLA"),
        (ORIN_NX, "10.7", 2, "DLA cores 0 to 1"),
        ({"sm": 110, "dla_cores": 0}, "10.13", 0, "Thor have no DLA"),
        ({"sm": 53, "dla_cores": 0}, "8.2.1", 0, "have no DLA"),
        (ORIN_NX, "10.8", 0, "no DLA for Jetson"),
        (ORIN_NX, "11.4.0", 0, "no DLA for Jetson"),
    ],
    ids=["orin-nano", "third-core", "thor", "nano", "10.8", "11.4.0"],
)
def test_where_there_is_none(tmp_path: Path, facts: dict[str, Any], version: str, core: int, reason: str) -> None:
    support = judge(half(tmp_path / "m.onnx", "Relu", opset=13), facts=facts, version=version, dla_core=core)
    assert told(support, reason).severity == "refuse"


def test_11_4_1_has_it_again_on_one_module(tmp_path: Path) -> None:
    support = judge(half(tmp_path / "m.onnx", "Relu"), facts=ORIN_NX, version="11.4.1", dla_core=0)
    assert support.accepted
    assert told(support, "AGX Orin only").severity == "warn"


def test_desktop_gpus_have_none(tmp_path: Path) -> None:
    support = judge(half(tmp_path / "m.onnx", "Relu"), kind="rtx", version="1.7.1", facts={"sm": 86}, dla_core=0)
    assert told(support, "desktop GPUs have no DLA")


def test_dynamic_shapes_are_cured_by_specialize(tmp_path: Path) -> None:
    model = half(tmp_path / "m.onnx", "Relu", shape=("n", 8, 16, 16), dims={"n": DimRange(1, 4, 8)})
    support = judge(model, facts=ORIN_NX, dla_core=0)
    assert told(support, "fixed shapes only")
    assert support.legalize == Legalization("specialize", {"dims": {"n": 4}})
    fixed = half(tmp_path / "m.onnx", "Relu", shape=("n", 8, 16, 16), dims={"n": DimRange(4, 4, 4)})
    assert judge(fixed, facts=ORIN_NX, dla_core=0).accepted
    undeclared = judge(half(tmp_path / "m.onnx", "Relu", shape=("n", 8, 16, 16)), facts=ORIN_NX, dla_core=0)
    assert undeclared.legalize is None and not undeclared.accepted


def test_float32_stays_off_it_unless_it_is_quantized(tmp_path: Path) -> None:
    dims = {"batch": DimRange(1, 1, 1)}

    def fixed(model: Model) -> Model:
        return replace(model, signature=replace(model.signature, dims=dims))

    floating = judge(fixed(tiny_cnn(tmp_path)), facts=ORIN_NX, dla_core=0)
    assert "float16 and int8, not in float32" in told(floating, "runs no node").reason
    quantized = judge(fixed(tiny_int8_cnn(tmp_path)), facts=ORIN_NX, version="11.4.1", dla_core=0)
    assert quantized.accepted
    assert [row.op_type for row in quantized.off_accelerator] == ["GlobalAveragePool"]


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((4097, 8, 4, 4), "a batch of 4097"), ((1, 8193, 4, 4), "a size of 8193"), ((4096, 8, 4, 4), None)],
)
def test_sizes(tmp_path: Path, shape: tuple[int, ...], reason: str | None) -> None:
    support = judge(half(tmp_path / "m.onnx", "Relu", shape=shape), facts=ORIN_NX, dla_core=0)
    assert support.accepted is (reason is None)
    if reason:
        assert reason in told(support, "runs no node").reason


W = np.ones((8, 8, 3, 3), np.float16)


@pytest.mark.parametrize(
    ("op_type", "stored", "attributes", "reason"),
    [
        ("Conv", {"w": W}, {"pads": [1, 1, 1, 1]}, None),
        ("Conv", {"w": W}, {"strides": [9, 9], "pads": [1] * 4}, "a stride of 9"),
        ("Conv", {"w": np.ones((8, 8, 33, 1), np.float16)}, {"pads": [16, 0, 16, 0]}, "a kernel of 33"),
        ("ConvTranspose", {"w": W}, {}, None),
        ("ConvTranspose", {"w": W}, {"pads": [1, 1, 1, 1]}, "with padding"),
        ("ConvTranspose", {"w": W}, {"group": 2}, "in groups"),
        ("MaxPool", {}, {"kernel_shape": [8, 8]}, None),
        ("MaxPool", {}, {"kernel_shape": [9, 9]}, "a window of 9"),
        ("AveragePool", {}, {"kernel_shape": [3, 3], "pads": [1] * 4}, "counts padding"),
        ("LRN", {}, {"size": 4}, "3, 5, 7 or 9"),
        ("Clip", {"a": np.array(0, np.float16), "b": np.array(6, np.float16)}, {}, None),
        ("Clip", {"a": np.array(-1, np.float16), "b": np.array(1, np.float16)}, {}, "from zero up"),
        ("PRelu", {"a": np.ones((8, 1, 1), np.float16)}, {}, None),
        ("MatMul", {"w": np.ones((16, 16), np.float16)}, {}, None),
        ("HardSwish", {}, {}, "does not run HardSwish"),
        ("Resize", {"r": np.zeros(0, "f"), "s": np.array([1, 1, 2, 2], "f")}, {}, None),
        ("Resize", {"r": np.zeros(0, "f"), "s": np.array([1, 1, 1.5, 1.5], "f")}, {}, "whole factors"),
    ],
)
def test_limits_of_single_nodes(
    tmp_path: Path, op_type: str, stored: dict[str, Any], attributes: dict[str, Any], reason: str | None
) -> None:
    model = one(tmp_path / "m.onnx", op_type, stored, y=("a", "b", "c", "d"), **attributes)
    off = {row.node: row.reason for row in judge(model, facts=ORIN_NX, dla_core=0).off_accelerator}
    assert set(off) == (set() if reason is None else {"odd"})
    assert reason is None or reason in str(off["odd"])


def test_products_with_computed_weights_and_joins_along_another_axis(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "first"),
        helper.make_node("MatMul", ["x", "a"], ["b"], "product"),
        helper.make_node("Concat", ["a", "b"], ["y"], "join", axis=3),
    ]
    model = make(tmp_path / "m.onnx", nodes, {"x": (HALF, X)}, {"y": (HALF, (1, 8, 16, 32))})
    off = {row.node: row.reason for row in judge(model, facts=ORIN_NX, dla_core=0).off_accelerator}
    assert off == {
        "product": "the DLA multiplies by stored weights only",
        "join": "the DLA concatenates along channels only",
    }


def test_softmax_is_for_orin_only(tmp_path: Path) -> None:
    model = half(tmp_path / "m.onnx", "Relu", "Softmax")
    assert judge(model, facts=ORIN_NX, dla_core=0).off_accelerator == ()
    xavier = {"sm": 72, "dla_cores": 2}
    (row,) = judge(model, facts=xavier, version="8.5.2", dla_core=0).off_accelerator
    assert row.node == "softmax"


@pytest.mark.parametrize(("parts", "accepted"), [(16, True), (17, False)])
def test_only_so_many_pieces_are_loaded(tmp_path: Path, parts: int, accepted: bool) -> None:
    op_types = [op_type for _ in range(parts) for op_type in ("Relu", "Erf")]
    names = ["x", *(f"t{number}" for number in range(len(op_types) - 1)), "y"]
    nodes = [helper.make_node(kind, [names[i]], [names[i + 1]], f"n{i}") for i, kind in enumerate(op_types)]
    support = judge(make(tmp_path / "m.onnx", nodes, {"x": (HALF, X)}, {"y": (HALF, X)}), facts=ORIN_NX, dla_core=0)
    assert support.accepted is accepted
    assert told(support, f"{parts} parts").severity == ("warn" if accepted else "refuse")


def test_a_side_branch_on_the_gpu_does_not_cut_what_it_does_not_separate(tmp_path: Path) -> None:
    """relu -> erf -> (end), relu -> tanh: one piece. relu -> erf -> add <- tanh <- relu: the add is a second one."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], "relu"),
        helper.make_node("Erf", ["r"], ["e"], "erf"),
        helper.make_node("Tanh", ["r"], ["t"], "tanh"),
    ]
    ends = {"x": (HALF, X)}, {"e": (HALF, X), "t": (HALF, X)}
    side = judge(make(tmp_path / "side.onnx", nodes, *ends), facts=ORIN_NX, dla_core=0)
    assert side.problems == ()
    nodes.append(helper.make_node("Add", ["e", "t"], ["y"], "add"))
    joined = judge(make(tmp_path / "m.onnx", nodes, {"x": (HALF, X)}, {"y": (HALF, X)}), facts=ORIN_NX, dla_core=0)
    assert told(joined, "2 parts")


def test_nothing_of_this_is_asked_without_a_dla(tmp_path: Path) -> None:
    support = judge(chain(tmp_path / "m.onnx", "Erf", dtype=FLOAT), facts=ORIN_NX)
    assert support.accelerator == "GPU" and support.problems == ()
