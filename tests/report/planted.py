"""The digits example as an ONNX file of somebody's own exporter, right or with a mistake that exporters make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@dataclass(frozen=True)
class Mistakes:
    """What the exporter gets wrong; nothing by default.

    Attributes:
        pads: of the second convolution: "same" padding, put on one side.
        epsilon: of the first normalization: another framework's default.
        turned: the last convolution's kernels are stored with height and width exchanged.
        without_bias: the classifier's is forgotten.
    """

    pads: Sequence[int] = (1, 1, 1, 1)
    epsilon: float = 1e-5
    turned: bool = False
    without_bias: bool = False


def write_digits(
    folder: Path, mistakes: Mistakes = Mistakes(), *, name: str = "model.onnx", samples: int = 100
) -> None:
    """The network, and as many labelled digits to judge it by."""
    onnx.save(_network(load_file(DIGITS / "models" / "digits.safetensors"), mistakes), folder / name)
    held_out = np.load(DIGITS / "data" / "test.npz")
    np.savez(folder / "eval.npz", image=held_out["image"][:samples], labels=held_out["label"][:samples])
    train = np.load(DIGITS / "data" / "train.npz")
    np.savez(folder / "calib.npz", image=train["image"][:64])


def _network(weights: dict[str, np.ndarray], mistakes: Mistakes) -> onnx.ModelProto:
    nodes, read = [], "image"
    for place in ("0", "1", "3"):
        block = f"features.{place}"
        pads = mistakes.pads if place == "1" else (1, 1, 1, 1)
        statistics = [f"{block}.1.{row}" for row in ("weight", "bias", "running_mean", "running_var")]
        nodes += [
            helper.make_node("Conv", [read, f"{block}.0.weight"], [f"{block}.sum"], name=f"{block}.conv", pads=pads),
            helper.make_node("BatchNormalization", [f"{block}.sum", *statistics], [f"{block}.normal"],
                             name=f"{block}.norm", epsilon=mistakes.epsilon if place == "0" else 1e-5),
            helper.make_node("Relu", [f"{block}.normal"], [f"{block}.out"], name=f"{block}.relu"),
        ]  # fmt: skip
        read = f"{block}.out"
        if place == "1":
            nodes.append(
                helper.make_node("MaxPool", [read], ["pooled"], name="pool", kernel_shape=[2, 2], strides=[2, 2])
            )
            read = "pooled"
    last = "features.3.0.weight"
    stored = {**weights, last: weights[last].swapaxes(2, 3).copy()} if mistakes.turned else weights
    bias = [] if mistakes.without_bias else ["classifier.bias"]
    nodes += [
        helper.make_node("GlobalAveragePool", [read], ["mean"], name="mean"),
        helper.make_node("Flatten", ["mean"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "classifier.weight", *bias], ["logits"], name="classifier", transB=1),
    ]
    return _model(nodes, ("image", ["batch", 1, 8, 8]), ("logits", ["batch", 10]), stored)


def write_stack(folder: Path, layers: int) -> None:
    """A stack of convolutions under one name, however many there are."""
    generator = np.random.default_rng(0)
    weights = {f"w{at}": generator.normal(size=(16, 16, 3, 3)).astype("float32") / 12 for at in range(layers)}
    names = ["x", *(f"c{at}" for at in range(layers - 1)), "y"]
    nodes = [
        helper.make_node("Conv", [names[at], f"w{at}"], [names[at + 1]], name=f"conv{at}", pads=[1, 1, 1, 1])
        for at in range(layers)
    ]
    model = _model(nodes, ("x", [1, 16, 32, 32]), ("y", [1, 16, 32, 32]), weights)
    onnx.save(model, folder / "model.onnx")
    (folder / "eval").mkdir(exist_ok=True)
    for at in range(2):
        np.savez(folder / "eval" / f"{at}.npz", x=generator.normal(size=(1, 16, 32, 32)).astype("float32"))


def write_differences(folder: Path) -> None:
    """A network that takes the difference of two nearly equal products, which few bits do not tell apart."""
    generator = np.random.default_rng(0)
    one = generator.normal(size=(64, 64)).astype("float32")
    other = (one + 0.004 * generator.normal(size=one.shape)).astype("float32")
    nodes = [
        helper.make_node("MatMul", ["x", "one"], ["a"], name="first"),
        helper.make_node("MatMul", ["x", "other"], ["b"], name="second"),
        helper.make_node("Sub", ["a", "b"], ["y"], name="difference"),
    ]
    onnx.save(_model(nodes, ("x", [32, 64]), ("y", [32, 64]), {"one": one, "other": other}), folder / "model.onnx")
    (folder / "eval").mkdir()
    for at in range(2):
        np.savez(folder / "eval" / f"{at}.npz", x=generator.normal(size=(32, 64)).astype("float32"))


def _model(
    nodes: list[onnx.NodeProto],
    given: tuple[str, list[int | str]],
    result: tuple[str, list[int | str]],
    weights: dict[str, np.ndarray],
) -> onnx.ModelProto:
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(given[0], TensorProto.FLOAT, given[1])],
        [helper.make_tensor_value_info(result[0], TensorProto.FLOAT, result[1])],
        [numpy_helper.from_array(array, name) for name, array in weights.items() if name in used],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
