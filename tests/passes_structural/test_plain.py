"""simplify on plain networks: the same result as the optimizer's, without importing it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgetool.graph.fold import fold
from edgetool.graph.streaming import load_ir, save_ir
from edgetool_passes.plain import simplify_plain
from tests.graph.building import model

RANDOM = np.random.default_rng(0)
WEIGHTS = {
    name: RANDOM.random(shape, dtype=np.float32) + 0.1
    for name, shape in {"w": (4, 3, 2, 2), "a": (4,), "s": (4,), "b": (4,), "m": (4,), "v": (4,)}.items()
}


def _network(*, bias: bool = False, **norm: float | int) -> onnx.ModelProto:
    inputs = ["x", "w", "a"] if bias else ["x", "w"]
    nodes = [
        helper.make_node("Conv", inputs, ["c"], name="conv"),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], name="norm", **norm),
        helper.make_node("Relu", ["n"], ["y"], name="relu"),
    ]
    weights = {name: array for name, array in WEIGHTS.items() if bias or name != "a"}
    return model(nodes, {"x": ["n", 3, 5, 5]}, {"y": ["n", 4, None, None]}, weights)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("norm", [{}, {"epsilon": 0.5}])
def test_it_computes_what_the_optimizer_makes(bias: bool, norm: dict[str, float], tmp_path: Path, run: object) -> None:
    proto = _network(bias=bias, **norm)
    onnx.save(proto, tmp_path / "before.onnx")
    graph = load_ir(tmp_path / "before.onnx")
    fold(graph)
    save_ir(graph, tmp_path / "optimized.onnx")
    assert simplify_plain(proto)
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, tmp_path / "plain.onnx")
    assert [node.op_type for node in proto.graph.node] == ["Conv", "Relu"]
    assert {tensor.name for tensor in proto.graph.initializer} == set(proto.graph.node[0].input[1:])
    feeds = {"x": RANDOM.random((2, 3, 5, 5), dtype=np.float32)}
    results = [run(tmp_path / f"{name}.onnx", feeds)["y"] for name in ("before", "optimized", "plain")]  # type: ignore[operator]
    np.testing.assert_allclose(results[2], results[0], rtol=1e-5)
    np.testing.assert_allclose(results[2], results[1], rtol=1e-5)


def test_weights_that_two_convolutions_share_stay_right(tmp_path: Path, run: object) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
        helper.make_node("Conv", ["x", "w"], ["d"]),
        helper.make_node("Add", ["n", "d"], ["y"]),
    ]
    weights = {name: array for name, array in WEIGHTS.items() if name != "a"}
    proto = model(nodes, {"x": ["n", 3, 5, 5]}, {"y": ["n", 4, None, None]}, weights)
    onnx.save(proto, tmp_path / "before.onnx")
    assert simplify_plain(proto)
    onnx.save(proto, tmp_path / "plain.onnx")
    feeds = {"x": RANDOM.random((1, 3, 5, 5), dtype=np.float32)}
    before, after = (run(tmp_path / f"{name}.onnx", feeds)["y"] for name in ("before", "plain"))  # type: ignore[operator]
    np.testing.assert_allclose(after, before, rtol=1e-5)


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("Identity", ["x"], ["y"])],
        [helper.make_node("Relu", ["w"], ["r"]), helper.make_node("Conv", ["x", "r"], ["y"])],
        [helper.make_node("Relu", ["x"], ["nobody"]), helper.make_node("Conv", ["x", "w"], ["y"])],
        [
            helper.make_node("Conv", ["x", "w"], ["c"]),
            helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
            helper.make_node("Add", ["n", "c"], ["y"]),
        ],
    ],
    ids=["identity", "constant", "dead", "read twice"],
)
def test_everything_else_is_left_to_the_optimizer_untouched(nodes: list[onnx.NodeProto]) -> None:
    read = {name for node in nodes for name in node.input}
    proto = model(
        nodes,
        {"x": ["n", 3, 5, 5]},
        {"y": ["n", None, None, None]},
        {name: array for name, array in WEIGHTS.items() if name in read},
    )
    before = proto.SerializeToString()
    assert not simplify_plain(proto)
    assert proto.SerializeToString() == before


def test_a_plain_network_imports_no_optimizer(tmp_path: Path) -> None:
    onnx.save(_network(), tmp_path / "model.onnx")
    script = (
        "import sys; from pathlib import Path; from edgetool.graph import read_model;"
        "from edgetool_passes.simplify import Simplify, SimplifyOptions;"
        "from edgetool.context import PassContext;"
        "folder = Path(sys.argv[1]);"
        "done = Simplify(SimplifyOptions()).apply(read_model(folder / 'model.onnx'), folder / 'out', None);"
        "assert done.changed; assert done.facts == {'nodes_before': 3, 'nodes_after': 2}, done.facts;"
        "assert not {'onnx_ir', 'onnxscript', 'sympy', 'torch'} & set(sys.modules)"
    )
    (tmp_path / "out").mkdir()
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
