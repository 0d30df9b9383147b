"""A plugin that fails on order, and a network with something of everything to fail on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgetool.engine.requests import Plug
from edgetool.reduce.reduction import Wishes
from tests.installed import install_plugin
from tests.reduce.reducing import Reduced, reduce_by_backend

HERE = Path(__file__).parent


@pytest.fixture
def fragile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that holds the backend `fragile`, installed for every process that is started."""
    folder = tmp_path / "site"
    install_plugin(
        folder,
        "fragile",
        "from edgetool.plugin import BackendInfo, hookimpl\n"
        "@hookimpl\n"
        "def edgetool_backends():\n"
        "    return [BackendInfo('fragile', 'fails on order', 'fragile:Fragile')]\n",
    )
    (folder / "fragile.py").write_text((HERE / "fragile.py").read_text())
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return folder


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Six convolutions in a row, two odd operators among them, a computed reshape, and two outputs.

    `x [batch, 4, 6, 6] -> y [batch, 4], side [batch, 4, 6, 6]`.
    """
    path = tmp_path / "net.onnx"
    path.write_bytes(make_network().SerializeToString())
    return path


@pytest.fixture
def det_network(tmp_path: Path) -> Path:
    """The same with a determinant in its middle."""
    model = make_network()
    model.graph.node.insert(9, helper.make_node("Det", ["r3"], ["det"], "det"))
    model.graph.output.append(helper.make_tensor_value_info("det", TensorProto.FLOAT, ["batch", 4]))
    path = tmp_path / "det.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def reduce_for(tmp_path: Path) -> Callable[..., Reduced]:
    """Reduces a network for a backend."""

    def run(plug: Plug, network: Path) -> Reduced:
        return reduce_by_backend(plug, network, tmp_path, Wishes(), seconds=60)

    return run


def make_network() -> ModelProto:
    generator = np.random.default_rng(0)
    nodes, stored, tensor = [], [], "x"
    for index in range(6):
        weight = generator.standard_normal((4, 4, 3, 3)).astype("float32") * 0.2
        stored.append(numpy_helper.from_array(weight, f"w{index}"))
        pads = [1, 1, 1, 1]
        nodes.append(helper.make_node("Conv", [tensor, f"w{index}"], [f"c{index}"], f"conv{index}", pads=pads))
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"], f"relu{index}"))
        tensor = f"r{index}"
        if index == 1:
            nodes.append(helper.make_node("Softplus", [tensor], ["soft"], "soft"))
            tensor = "soft"
        if index == 3:
            nodes.append(helper.make_node("Erf", [tensor], ["erf"], "erf"))
            tensor = "erf"
    stored += [numpy_helper.from_array(np.array([value], "int64"), name) for name, value in (("zero", 0), ("rest", -1))]
    nodes += [
        helper.make_node("Tanh", [tensor], ["side"], "tanh"),
        helper.make_node("GlobalAveragePool", [tensor], ["pooled"], "pool"),
        helper.make_node("Shape", ["pooled"], ["shape"], "shape"),
        helper.make_node("Gather", ["shape", "zero"], ["batch"], "gather"),
        helper.make_node("Concat", ["batch", "rest"], ["wanted"], "concat", axis=0),
        helper.make_node("Reshape", ["pooled", "wanted"], ["y"], "reshape"),
    ]
    for node in nodes:
        node.doc_string = "/home/somebody/secret.py"
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 6, 6])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4]),
            helper.make_tensor_value_info("side", TensorProto.FLOAT, ["batch", 4, 6, 6]),
        ],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
