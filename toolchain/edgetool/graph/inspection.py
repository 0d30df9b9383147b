"""What is inside a model: signature, operators, parameters, multiply-accumulates, memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.artifact import JsonValue
from edgetool.graph.element import element
from edgetool.graph.files import files
from edgetool.graph.load import load
from edgetool.graph.macs import Estimate, count_macs
from edgetool.graph.memory import activation_peak
from edgetool.graph.shapes import Shape, infer_shapes
from edgetool.graph.signature import read_signature
from edgetool.graph.structure import opset_versions
from edgetool.graph.walk import graphs, tensors
from edgetool.signature import DimRange, Signature, TensorSpec

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class Stored:
    """Tensors of one element type that the model stores.

    Attributes:
        count: elements.
        nbytes: what they take.
    """

    count: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """The inside of a model.

    Attributes:
        path: the .onnx file.
        files: it and its external data, by name, with sizes in bytes.
        signature: inputs, outputs and dynamic dimensions.
        ir_version: of the file.
        opsets: version by domain; ONNX's own is `ai.onnx`.
        producer: who wrote the file, as it says itself.
        metadata: the file's `metadata_props`.
        nodes: how many, subgraphs and functions included.
        operators: how many nodes of each operator, most frequent first; foreign ones with their domain.
        parameters: elements of all stored floating-point and quantized tensors with at least one axis.
        stored: stored tensors by element type.
        shapes: input shapes at which the next two were computed.
        macs: multiply-accumulates of one inference.
        activations: bytes of activations at their peak; the weights come on top.
    """

    path: Path
    files: Mapping[str, int]
    signature: Signature
    ir_version: int
    opsets: Mapping[str, int]
    producer: str
    metadata: Mapping[str, str]
    nodes: int
    operators: Mapping[str, int]
    parameters: int
    stored: Mapping[str, Stored]
    shapes: Mapping[str, Shape]
    macs: Estimate
    activations: Estimate

    @property
    def weight_bytes(self) -> int:
        return sum(kind.nbytes for kind in self.stored.values())

    @property
    def memory(self) -> Estimate:
        """Bytes of weights and of activations at their peak."""
        return Estimate(self.weight_bytes + self.activations.value, self.activations.unknown)

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "files": dict(self.files),
            "signature": _plain(self.signature),
            "ir_version": self.ir_version,
            "opsets": dict(self.opsets),
            "producer": self.producer,
            "metadata": dict(self.metadata),
            "nodes": self.nodes,
            "operators": dict(self.operators),
            "parameters": self.parameters,
            "weight_bytes": self.weight_bytes,
            "stored": {name: {"count": kind.count, "bytes": kind.nbytes} for name, kind in self.stored.items()},
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "macs": _estimate(self.macs),
            "activation_peak_bytes": _estimate(self.activations),
            "memory_bytes": _estimate(self.memory),
        }


def inspect(path: Path, dims: Mapping[str, DimRange] | None = None) -> Inspection:
    """Look into a model without running it.

    Args:
        path: the .onnx file.
        dims: ranges of dynamic dimensions; numbers that depend on shapes are computed at their `opt`, and at 1 for
            dimensions without a range.

    Raises:
        ConfigError, ModelError: as `load` and `read_signature`.
    """
    model = load(path, weights=False)
    signature = read_signature(model, dims, where=str(path))
    shapes = signature.input_shapes("opt")
    shaped = infer_shapes(model, shapes)
    stored = stored_by_type(model, where=str(path))
    operators = _operators(model)
    return Inspection(
        path=path,
        files={part.name: part.stat().st_size for part in files(path)},
        signature=signature,
        ir_version=int(model.ir_version),
        opsets={domain or "ai.onnx": version for domain, version in opset_versions(model, where=str(path)).items()},
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        metadata={prop.key: prop.value for prop in model.metadata_props},
        nodes=sum(operators.values()),
        operators=operators,
        parameters=_parameters(model),
        stored=stored,
        shapes=shapes,
        macs=count_macs(shaped),
        activations=activation_peak(shaped),
    )


def _operators(model: onnx.ModelProto) -> dict[str, int]:
    nodes = [node for graph in graphs(model.graph) for node in graph.node]
    nodes += [node for function in model.functions for node in function.node]
    names = (f"{n.domain}.{n.op_type}" if n.domain not in ("", "ai.onnx") else n.op_type for n in nodes)
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def stored_by_type(model: onnx.ModelProto, *, where: str) -> dict[str, Stored]:
    """What the model stores, by element type: initializers and tensors in attributes. Raises ModelError."""
    found: dict[str, Stored] = {}
    for named in tensors(model):
        kind = element(named.tensor.data_type, where=where)
        count = _elements(named.tensor)
        nbytes = kind.nbytes((count,))
        if nbytes is None:
            nbytes = sum(len(text) for text in named.tensor.string_data)
        before = found.get(kind.name, Stored(0, 0))
        found[kind.name] = Stored(before.count + count, before.nbytes + nbytes)
    return dict(sorted(found.items(), key=lambda item: -item[1].nbytes))


def _parameters(model: onnx.ModelProto) -> int:
    """Elements of stored tensors that look learned: not scalars, and not the int64 of shapes and indices."""
    shape_types = (6, 7, 8, 9)  # int32, int64, string, bool
    return sum(
        _elements(named.tensor)
        for named in tensors(model)
        if named.tensor.dims and named.tensor.data_type not in shape_types
    )


def _elements(tensor: onnx.TensorProto) -> int:
    count = 1
    for dim in tensor.dims:
        count *= dim
    return count


def _estimate(estimate: Estimate) -> dict[str, JsonValue]:
    return {"value": estimate.value, "exact": estimate.is_exact, "unknown": list(estimate.unknown)}


def _plain(signature: Signature) -> dict[str, JsonValue]:
    dims: dict[str, JsonValue] = {
        name: {"min": size.min, "opt": size.opt, "max": size.max} for name, size in sorted(signature.dims.items())
    }
    return {"inputs": _specs(signature.inputs), "outputs": _specs(signature.outputs), "dims": dims}


def _specs(specs: Sequence[TensorSpec]) -> list[JsonValue]:
    return [{"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)} for spec in specs]
