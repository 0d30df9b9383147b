"""Dimensions, memory, names and known issues: what depends on the target as much as on the model."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgetool.config.schema import DimTable, InputTable
from edgetool.signature import DimRange
from edgetool.testing import tiny_cnn, tiny_int8_cnn
from tests.tensorrt.checking import FLOAT, INT64, chain, judge, make, told


@pytest.mark.parametrize("name", ["batch", "batch size", 'a"b', "batch*2", "séq"])
def test_a_dimension_without_a_range_is_told_with_the_lines_to_add(tmp_path: Path, name: str) -> None:
    support = judge(chain(tmp_path / "m.onnx", "Relu", shape=(name, 4)))
    problem = told(support, f"dimension {name!r} of 'x' has no range")
    introduction, _, lines = str(problem.fix).partition("\n")
    assert "targets.toml" in introduction
    ((key, table),) = tomllib.loads(lines)["model"]["dims"].items()
    assert key == name
    assert DimTable(**table).max == 8
    assert support.legalize is None
    assert not support.accepted


def test_a_declared_range_is_enough(tmp_path: Path) -> None:
    model = chain(tmp_path / "m.onnx", "Relu", shape=("batch", 4), dims={"batch": DimRange(1, 2, 8)})
    assert judge(model).problems == ()


def test_dimensions_without_a_name(tmp_path: Path) -> None:
    """A file may leave a size open without naming it; edgetool gives it a name."""
    support = judge(chain(tmp_path / "m.onnx", "Relu", shape=(None, 4)))
    (problem,) = support.problems
    _, _, lines = str(problem.fix).partition("\n")
    model = tomllib.loads(lines)["model"]
    for row in model.get("inputs", {}).values():
        assert InputTable(**row).shape[1] == 4
    (table,) = model["dims"].values()
    assert DimTable(**table).min == 1


@pytest.mark.parametrize(("largest", "accepted"), [(2**29 - 1, True), (2**29, False), (2**31, False)])
def test_tensors_that_cannot_be_counted(tmp_path: Path, largest: int, accepted: bool) -> None:
    model = chain(tmp_path / "m.onnx", "Relu", shape=("n", 4), dims={"n": DimRange(1, 1, largest)})
    support = judge(model, facts={"sm": 87})
    assert support.accepted is accepted
    if not accepted:
        assert "2^31 - 1" in told(support, "input 'x'").reason
        assert told(support, "tensor 'y'").nodes == ("relu",)


def test_a_tensor_inside_that_cannot_be_counted(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Expand", ["x", "shape"], ["wide"], "widen"),
        helper.make_node("ReduceSum", ["wide"], ["y"], "sum", keepdims=0),
    ]
    stored = {"shape": np.array([2**16, 2**15])}
    model = make(tmp_path / "m.onnx", nodes, {"x": (FLOAT, (1, 1))}, {"y": (FLOAT, ())}, stored)
    assert told(judge(model, facts={"sm": 87}), "65536 x 32768").nodes == ("widen",)


def wide(folder: Path, *, megabytes: int) -> Any:
    """A product with weights of that size, not stored: only their shape counts."""
    import onnx

    columns = megabytes * 2**20 // 4 // 1024
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "product")]
    model = make(
        folder / "m.onnx",
        nodes,
        {"x": (FLOAT, (64, 1024))},
        {"y": (FLOAT, (64, columns))},
        {"w": np.ones((1024, 1), "f")},
    )
    proto = onnx.load(model.path)
    (weight,) = proto.graph.initializer
    weight.ClearField("raw_data")
    weight.dims[1] = columns
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "w.bin"), ("length", str(megabytes * 2**20))):
        weight.external_data.add(key=key, value=value)
    with (folder / "w.bin").open("wb") as file:
        file.truncate(megabytes * 2**20)
    onnx.save(proto, model.path)
    return model


@pytest.mark.parametrize(
    ("megabytes", "text", "severity"),
    [
        (5000, "it does not fit: 4.9 GiB of weights", "refuse"),
        (2000, "the build may run out of memory at about 7.1 GiB", "warn"),
        (200, None, None),
    ],
)
def test_memory_of_the_device(tmp_path: Path, megabytes: int, text: str | None, severity: str | None) -> None:
    support = judge(wide(tmp_path, megabytes=megabytes), facts={"sm": 87, "ram": 4 << 30})
    if text is None:
        assert support.problems == ()
        return
    problem = told(support, text)
    assert problem.severity == severity
    assert "'w'" in problem.reason and "the device has 4.0 GiB" in problem.reason


def test_memory_of_activations_names_the_nodes(tmp_path: Path) -> None:
    model = chain(tmp_path / "m.onnx", "Relu", "Sigmoid", shape=("n", 1024, 1024), dims={"n": DimRange(1, 1, 200)})
    problem = told(judge(model, facts={"sm": 87, "ram": 1 << 30}), "it does not fit")
    assert "computed by relu" in problem.reason
    assert "[model.dims]" in str(problem.fix)
    tight = judge(model, facts={"sm": 86, "ram": 2 << 30}, kind="rtx", version="1.7.1")
    assert told(tight, "it fits tightly").severity == "warn"
    assert judge(model, facts={"sm": 87}).problems == ()  # a target that does not say how much memory it has
    assert math.prod((200, 1024, 1024)) * 4 * 2 > 1 << 30


@pytest.mark.parametrize("name", ["x;reboot", "x y", "x,y", "$(x)", "x'"])
def test_names_that_a_command_line_cannot_carry(tmp_path: Path, name: str) -> None:
    nodes = [helper.make_node("Relu", [name], ["y"], "relu")]
    model = make(tmp_path / "m.onnx", nodes, {name: (FLOAT, (1, 4))}, {"y": (FLOAT, (1, 4))})
    assert repr(name) in told(judge(model), "command line").reason
    assert not judge(model, kind="kit").accepted
    assert judge(model, kind="rtx", version="1.7.1", facts={"sm": 86}).accepted
    assert judge(model, kind="local").accepted


def test_names_inside_do_not_matter(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["a b"], "r;1"), helper.make_node("Relu", ["a b"], ["y"], "r;2")]
    assert judge(make(tmp_path / "m.onnx", nodes, {"x": (FLOAT, (4,))}, {"y": (FLOAT, (4,))})).accepted


def test_the_known_bad_pair_of_int8_and_10_3(tmp_path: Path) -> None:
    model = tiny_int8_cnn(tmp_path)
    support = judge(model, version="10.3", facts={"sm": 87})
    (problem,) = [problem for problem in support.problems if problem.severity == "refuse"]
    assert "10.3" in problem.reason and "10.7" in str(problem.fix) and "float16" in str(problem.fix)
    assert "#" in problem.reason  # where it was reported
    assert not support.accepted and support.legalize is None
    assert judge(model, version="10.7", facts={"sm": 87}).accepted
    assert judge(tiny_cnn(tmp_path), version="10.3", facts={"sm": 87}).accepted


def test_the_version_that_the_target_states_counts_where_no_device_was_asked(tmp_path: Path) -> None:
    model = tiny_int8_cnn(tmp_path)
    stated = judge(model, kind="kit", version=None, facts={"sm": 87, "tensorrt": "10.3.0", "jetpack": "6.2"})
    assert not stated.accepted
    unknown = judge(model, kind="kit", version=None, facts={"sm": 87, "tensorrt": "newest"})
    assert unknown.accepted
    assert "[targets.NAME.facts]" in str(told(unknown, "is not known").fix)


def test_every_node_gets_a_place(tmp_path: Path) -> None:
    model = tiny_int8_cnn(tmp_path)
    support = judge(model)
    assert support.accelerator == "GPU"
    assert {row.device for row in support.placements} == {"GPU"}
    assert len(support.placements) == 16
    nodes = [helper.make_node("Shape", ["x"], ["y"])]
    (row,) = judge(make(tmp_path / "s.onnx", nodes, {"x": (FLOAT, (4,))}, {"y": (INT64, (1,))})).placements
    assert row.node == "Shape#0"
