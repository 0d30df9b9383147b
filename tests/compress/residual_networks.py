"""Small residual networks, and passes applied to them as the framework does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgetool.artifact import Model
from edgetool.context import PassContext
from edgetool.graph import read_model
from edgetool.passes.base import AnyPass, PassResult
from edgetool.signature import DimRange
from edgetool.testing.samples import GivenSamples
from edgetool_onnxruntime.reference import open_onnx

Array = np.ndarray[Any, Any]
Feed = Mapping[str, Array]
WIDTH, WORDS = 16, 40
SMALL = {"min_size": 1, "multiple_of": 1, "min_saving": 0.0}
"""Options of `low-rank` under which layers as small as these are factored."""


@dataclass
class Applied:
    """A result, and what the user was told meanwhile."""

    result: PassResult
    notes: list[str] = field(default_factory=list)

    @property
    def proto(self) -> onnx.ModelProto:
        return onnx.load(self.result.model.path)


def apply(kind: type[AnyPass], model: Model, samples: Sequence[Feed] | None = None, **options: Any) -> Applied:
    """Apply a pass, into a new folder beside the model."""
    workdir = model.path.parent / f"work{len(list(model.path.parent.glob('work*')))}"
    workdir.mkdir()
    applied = Applied(PassResult(model, changed=False))
    context = PassContext(
        threads=1,
        open_reference=lambda path: open_onnx(path, 1),
        calibration=None if samples is None else GivenSamples(samples),
        note=applied.notes.append,
    )
    applied.result = kind(kind.Options(**options)).apply(model, workdir, context)
    onnx.checker.check_model(str(applied.result.model.path), full_check=True)
    return applied


def sentences(count: int, *, seed: int = 0, length: int = 8) -> list[Feed]:
    """Feeds for `encoder`: word numbers, few of them frequent; int64 [2, length]."""
    chance = np.random.default_rng(seed)
    return [{"ids": np.minimum(chance.geometric(0.1, (2, length)) - 1, WORDS - 1)} for _ in range(count)]


def pictures(count: int, *, seed: int = 0) -> list[Feed]:
    """Feeds for `residual_cnn`: smooth random images, float32 [2, 3, 8, 8]."""
    chance = np.random.default_rng(seed)
    coarse = chance.normal(size=(count, 2, 3, 4, 4)).astype(np.float32)
    return [{"image": np.kron(one, np.ones((1, 1, 2, 2), np.float32))} for one in coarse]


def run(path: Path, feeds: Sequence[Feed]) -> Array:
    """The first output of an ONNX file for all feeds, along axis 0."""
    with open_onnx(path, 1) as runner:
        return np.concatenate([next(iter(runner.infer(feed).values())) for feed in feeds])


def relative_error(actual: Array, expected: Array) -> float:
    return float(np.square(actual - expected).sum() / np.square(expected).sum())


def stored(proto: onnx.ModelProto) -> dict[str, Array]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}


class Network:
    """Collects nodes and weights of a network, and writes it."""

    def __init__(self, *, seed: int = 0) -> None:
        self.chance = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.stored: dict[str, Array] = {}

    def weight(self, name: str, *shape: int, scale: float = 1.0) -> str:
        fan_in = np.prod(shape[1:]) if len(shape) == 4 else shape[0]
        self.stored[name] = (self.chance.normal(size=shape) * scale / np.sqrt(fan_in)).astype(np.float32)
        return name

    def constant(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        self.stored[name] = np.asarray(values, dtype)
        return name

    def node(self, op_type: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op_type, list(inputs), [output], f"node_{output}", **attributes))
        return output

    def save(
        self,
        path: Path,
        inputs: Mapping[str, tuple[int | str, ...]],
        outputs: Mapping[str, tuple[int | str, ...]],
        dims: Mapping[str, DimRange],
        *,
        opset: int = 17,
        fed: Sequence[str] = (),
    ) -> Model:
        """Write the network; `fed` are weights that are declared as inputs, too."""

        def values(shapes: Mapping[str, tuple[int | str, ...]]) -> list[onnx.ValueInfoProto]:
            return [
                helper.make_tensor_value_info(
                    name, onnx.TensorProto.INT64 if name == "ids" else onnx.TensorProto.FLOAT, shape
                )
                for name, shape in shapes.items()
            ]

        tensors = [numpy_helper.from_array(array, name) for name, array in self.stored.items()]
        declared = values(inputs) + values({name: self.stored[name].shape for name in fed})
        graph = helper.make_graph(self.nodes, path.stem, declared, values(outputs), tensors)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
        return read_model(path, dims)


def norm(network: Network, source: str, name: str) -> str:
    inputs = [source, network.constant(f"{name}_g", np.ones(WIDTH)), network.constant(f"{name}_b", np.zeros(WIDTH))]
    return network.node("LayerNormalization", inputs, name, axis=-1)


def branch(network: Network, source: str, name: str, *, scale: float) -> str:
    """Mixing over the length by an attention without projections, then two layers."""
    keys = network.node("Transpose", [source], f"{name}_keys", perm=[0, 2, 1])
    scores = network.node("MatMul", [source, keys], f"{name}_scores")
    weights = network.node("Softmax", [scores], f"{name}_weights", axis=-1)
    mixed = network.node("MatMul", [weights, source], f"{name}_mixed")
    up = network.node("MatMul", [mixed, network.weight(f"{name}_up_w", WIDTH, 2 * WIDTH)], f"{name}_up")
    active = network.node("Relu", [up], f"{name}_active")
    return network.node("MatMul", [active, network.weight(f"{name}_down_w", 2 * WIDTH, WIDTH, scale=scale)], name)


def make_encoder(folder: Path, *, blocks: int = 4, pre_norm: bool = False, scales: Sequence[float] = ()) -> Model:
    """Words, blocks, a mean: `ids [batch, length] -> vector [batch, WIDTH]`.

    Args:
        folder: to write into.
        blocks: how many.
        pre_norm: whether each block normalises what its branch reads; else what it hands out.
        scales: how much each block adds to the stream; 0.5 where nothing is said.
    """
    network = Network(seed=3)
    words = network.weight("words", WORDS, WIDTH, scale=5)
    stream = network.node("Gather", [words, "ids"], "embedded")
    if not pre_norm:
        stream = norm(network, stream, "first")
    for number in range(blocks):
        name, scale = f"block{number}", scales[number] if number < len(scales) else 0.5
        source = norm(network, stream, f"{name}_norm") if pre_norm else stream
        added = branch(network, source, f"{name}_branch", scale=scale)
        total = network.node("Add", [added, stream], f"{name}_sum")
        stream = total if pre_norm else norm(network, total, f"{name}_end")
    network.node("ReduceMean", [stream], "vector", axes=[1], keepdims=0)
    dims = {"batch": DimRange(1, 2, 4), "length": DimRange(2, 8, 12)}
    return network.save(folder / "encoder.onnx", {"ids": ("batch", "length")}, {"vector": ("batch", WIDTH)}, dims)


def make_residual_cnn(folder: Path) -> Model:
    """A stem, three residual blocks that are alike and one that is not, a classifier."""
    network = Network(seed=4)
    same = {"pads": [1, 1, 1, 1]}
    stream = network.node("Conv", ["image", network.weight("stem_w", 8, 3, 3, 3)], "stem", **same)
    for number, hidden in enumerate((16, 16, 16, 12)):
        name = f"block{number}"
        wide = network.node("Conv", [stream, network.weight(f"{name}_wide", hidden, 8, 1, 1)], f"{name}_1")
        active = network.node("Relu", [wide], f"{name}_2")
        thin = network.node("Conv", [active, network.weight(f"{name}_thin", 8, hidden, 3, 3)], f"{name}_3", **same)
        stream = network.node("Add", [stream, thin], f"{name}_sum")
    mean = network.node("GlobalAveragePool", [stream], "mean")
    flat = network.node("Flatten", [mean], "flat")
    network.node("Gemm", [flat, network.weight("head_w", 8, 5), network.weight("head_b", 5)], "logits")
    dims = {"batch": DimRange(1, 2, 4)}
    return network.save(folder / "cnn.onnx", {"image": ("batch", 3, 8, 8)}, {"logits": ("batch", 5)}, dims)
