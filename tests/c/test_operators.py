"""One network for each operator that small networks are made of, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edgetool.artifact import Engine, Model
from edgetool.graph import load, read_model
from edgetool.testing import tiny_branches, tiny_cnn, tiny_lstm, tiny_mlp, tiny_text
from edgetool.testing.models import MakeModel
from edgetool.testing.samples import feeds_for
from edgetool_c.backend import PlainC
from edgetool_c.options import COptions
from tests.c.conftest import CONTEXT
from tests.c.fixing import fixed
from tests.c.writing import Array, random, reference, written

IMAGE = (1, 4, 6, 6)
Case = tuple[str, tuple[int, ...], Mapping[str, Array], Mapping[str, Any]]

CASES: dict[str, Case] = {
    "max pool": ("MaxPool", IMAGE, {}, {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "average pool": ("AveragePool", IMAGE, {}, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "depthwise": ("Conv", IMAGE, {"w": random(4, 1, 3, 3)}, {"group": 4, "dilations": [2, 2]}),
    "transposed": ("ConvTranspose", IMAGE, {"w": random(4, 2, 2, 2)}, {"strides": [2, 2]}),
    "batch norm": ("BatchNormalization", IMAGE, {n: abs(random(4, seed=i)) for i, n in enumerate("sbmv")}, {}),
    "layer norm": ("LayerNormalization", (2, 8), {"s": random(8), "b": random(8, seed=1)}, {}),
    "softmax": ("Softmax", (2, 8), {}, {"axis": -1}),
    "sigmoid": ("Sigmoid", (2, 8), {}, {}),
    "tanh": ("Tanh", (2, 8), {}, {}),
    "hard swish": ("HardSwish", (2, 8), {}, {}),
    "gelu": ("Erf", (2, 8), {}, {}),
    "leaky": ("LeakyRelu", (2, 8), {}, {"alpha": 0.2}),
    "prelu": ("PRelu", IMAGE, {"s": random(4, 1, 1)}, {}),
    "clip": ("Clip", (2, 8), {"lo": np.float32(-0.5), "hi": np.float32(0.5)}, {}),
    "pad": ("Pad", IMAGE, {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])}, {"mode": "reflect"}),
    "transpose": ("Transpose", IMAGE, {}, {"perm": [0, 2, 3, 1]}),
    "reshape": ("Reshape", IMAGE, {"s": np.array([1, -1])}, {}),
    "reduce": ("ReduceMean", IMAGE, {"a": np.array([2, 3])}, {"keepdims": 0}),
    "slice": ("Slice", IMAGE, {"s": np.array([1]), "e": np.array([5]), "a": np.array([2]), "t": np.array([2])}, {}),
    "gather": ("Gather", IMAGE, {"i": np.array([2, 0])}, {"axis": 1}),
    "resize": (
        "Resize",
        IMAGE,
        {"": np.zeros(0), "s": np.array([1, 1, 2, 2], np.float32)},
        {"mode": "nearest"},
    ),
    "concat": ("Concat", IMAGE, {"o": random(1, 2, 6, 6)}, {"axis": 1}),
    "where": ("Mul", IMAGE, {"o": random(1, 4, 1, 6)}, {}),
    "norm": ("InstanceNormalization", IMAGE, {"s": random(4), "b": random(4, seed=1)}, {}),
}


def agrees(model: Model, feeds: Mapping[str, Array], build: Callable[..., Engine]) -> None:
    options = COptions(board="host", optimize="1")
    with PlainC(options).open(build(model, options), CONTEXT) as runner:
        found = runner.infer(feeds)
    for name, wanted in reference(model, feeds).items():
        assert found[name].shape == wanted.shape
        assert np.abs(found[name] - wanted).max() <= 1e-5 * max(1.0, float(np.abs(wanted).max()))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_operator(case: Case, tmp_path: Path, build: Callable[..., Engine]) -> None:
    op_type, shape, constants, attributes = case
    node = helper.make_node(op_type, ["x", *constants], ["y"], name="one", **attributes)
    model = written(tmp_path / "m.onnx", [node], [("x", shape)], [("y", ())], {k: v for k, v in constants.items() if k})
    proto = load(model.path)
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    model.path.write_bytes(onnx.shape_inference.infer_shapes(proto, strict_mode=True).SerializeToString())
    agrees(read_model(model.path, {}), {"x": random(*shape, seed=9)}, build)


@pytest.mark.parametrize("make", [tiny_mlp, tiny_cnn, tiny_lstm, tiny_branches, tiny_text])
def test_network(make: MakeModel, tmp_path: Path, build: Callable[..., Engine]) -> None:
    model = fixed(make)(tmp_path)
    agrees(model, feeds_for(model.signature, seed=3), build)
