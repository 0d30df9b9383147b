"""Weights that are not finite: refused with tensor and node, unless an infinity masks or bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from edgetool import graph
from edgetool.errors import EdgetoolError
from tests.graph.building import linear, model, with_external_weight, written


@pytest.mark.parametrize(("value", "words"), [(np.nan, "1 NaN of 16"), (np.inf, "1 infinite of 16")])
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_bad_weight_is_named_with_its_reader(value: float, words: str, dtype: str, tmp_path: Path) -> None:
    weight = np.eye(4, dtype=dtype)
    weight[1, 2] = value
    with pytest.raises(EdgetoolError) as caught:
        graph.check(written(linear(weight), tmp_path / "m.onnx"))
    assert (caught.value.code, caught.value.exit_code) == ("non-finite-weight", 3)
    assert f"{words} values in 'w', read by product" in caught.value.message


def test_bad_external_weight(tmp_path: Path) -> None:
    path = with_external_weight(tmp_path, data=np.full(16, np.nan, np.float32).tobytes())
    with pytest.raises(EdgetoolError, match="16 NaN"):
        graph.check(path)


def test_large_but_finite_weights_pass_although_their_sum_overflows(tmp_path: Path) -> None:
    graph.check(written(linear(np.full((4, 4), 3e38, np.float32)), tmp_path / "m.onnx"))


def _masked(op_type: str, inputs: list[str], mask: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bytes:
    nodes = [
        helper.make_node("Reshape", ["mask", "shape"], ["m"], name="carry"),
        helper.make_node(op_type, inputs, ["y"], name="apply"),
    ]
    shape = np.array(mask.shape, np.int64)
    condition = np.ones((1, 4), np.bool_)
    proto = model(nodes, weights={"mask": mask, "shape": shape, "condition": condition})
    return proto.SerializeToString()


MASK = np.array([[0, 0, -np.inf, -np.inf]], np.float32)


@pytest.mark.parametrize(
    ("op_type", "inputs", "mask", "accepted"),
    [
        ("Add", ["x", "m"], MASK, True),
        ("Where", ["condition", "x", "m"], MASK, True),
        ("Max", ["x", "m"], MASK, True),
        ("Add", ["x", "m"], -MASK, False),
        ("Add", ["x", "m"], MASK[0], False),
        ("Mul", ["x", "m"], MASK, False),
    ],
    ids=["mask", "fill", "bound", "plus infinity", "bias", "factor"],
)
def test_an_infinity_may_mask_or_bound(
    op_type: str,
    inputs: list[str],
    mask: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    accepted: bool,
    tmp_path: Path,
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(_masked(op_type, inputs, mask))
    if accepted:
        graph.check(path)
        return
    with pytest.raises(EdgetoolError, match="infinite"):
        graph.check(path)


def test_constants_of_nodes_are_looked_at_too(tmp_path: Path) -> None:
    nan = helper.make_tensor("value", 1, [1], [float("nan")])
    nodes = [
        helper.make_node("Constant", [], ["k"], name="constant", value=nan),
        helper.make_node("Mul", ["x", "k"], ["y"], name="scale"),
    ]
    with pytest.raises(EdgetoolError, match=r"1 NaN of 1 values in 'constant.value', read by scale"):
        graph.check(written(model(nodes), tmp_path / "m.onnx"))


def test_the_checker_of_onnx_has_its_say(tmp_path: Path) -> None:
    proto = linear()
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    with pytest.raises(EdgetoolError, match="shape") as caught:
        graph.check(written(proto, tmp_path / "m.onnx"))
    assert caught.value.code == "invalid-model"
