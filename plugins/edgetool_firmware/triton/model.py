"""How Triton sees a network: which backend loads it, and each tensor with the batch taken out of its shape.

Facts: `model_config.proto` of triton-inference-server/common, and the type tables of the three backends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from edgetool.bundle.manifest import Manifest
from edgetool.problem import Problem
from edgetool.signature import Dim, Signature, TensorSpec

_ANY_SIZE = -1
_WHOLE = {
    "bool": "TYPE_BOOL",
    "uint8": "TYPE_UINT8",
    "uint16": "TYPE_UINT16",
    "uint32": "TYPE_UINT32",
    "uint64": "TYPE_UINT64",
    "int8": "TYPE_INT8",
    "int16": "TYPE_INT16",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
}
_ENDINGS = {"onnxruntime": ".onnx", "tensorrt": ".plan", "openvino": ".xml"}
_TYPES = {
    "onnxruntime": {
        **_WHOLE,
        "float16": "TYPE_FP16",
        "float32": "TYPE_FP32",
        "float64": "TYPE_FP64",
        "string": "TYPE_STRING",
    },
    "openvino": {**_WHOLE, "float16": "TYPE_FP16", "float32": "TYPE_FP32"},
    "tensorrt": {
        "bool": "TYPE_BOOL",
        "uint8": "TYPE_UINT8",
        "int8": "TYPE_INT8",
        "int32": "TYPE_INT32",
        "int64": "TYPE_INT64",
        "float16": "TYPE_FP16",
        "bfloat16": "TYPE_BF16",
        "float32": "TYPE_FP32",
    },
}
"""What the backends take and give, by the bundle's runtime; Triton calls them as edgetool does."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output as `config.pbtxt` says it.

    Attributes:
        name: as the network has it.
        data_type: of Triton's.
        dims: without the batch; -1 where any size goes.
        scalar: the network's own shape has nothing left there, while Triton wants a dimension: `dims` is (1,).
    """

    name: str
    data_type: str
    dims: tuple[int, ...]
    scalar: bool


@dataclass(frozen=True, slots=True)
class Served:
    """A network in Triton's terms; `max_batch_size` is 0 where requests carry their whole shape."""

    backend: str
    max_batch_size: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def refusals(manifest: Manifest, *, max_batch_size: int | None) -> tuple[Problem, ...]:
    """Everything for which no Triton backend could load the engine; arguments as for `served`."""
    runtime = manifest.runtime.kind
    if runtime not in _TYPES:
        usable = ", ".join(sorted(_TYPES))
        return (Problem(f"Triton has no backend for engines of {runtime}", fix=f"build for one of {usable}"),)
    return (*_engine_refusals(manifest), *_tensor_refusals(manifest, max_batch_size))


def _engine_refusals(manifest: Manifest) -> Iterator[Problem]:
    runtime, facts, entry = manifest.runtime.kind, manifest.runtime.facts, PurePosixPath(manifest.entry)
    if facts.get("kind") == "kit":
        reason = "the bundle is a kit, from which the device builds its engine"
        yield Problem(reason, fix="build with the device at hand ([targets.NAME.builder] host = ...), and package that")
    elif facts.get("product") == "tensorrt-rtx":
        yield Problem("Triton loads plans of TensorRT, not of TensorRT-RTX", fix="build on the server with TensorRT")
    elif entry.suffix != _ENDINGS[runtime]:
        reason = f"Triton's {runtime} backend loads {_ENDINGS[runtime]} files, and the engine is {entry.name!r}"
        yield Problem(reason, fix="build it in the runtime's portable form: `format` or `artifact` of its options")
    elif len(entry.parts) != 2:
        yield Problem(f"the engine {str(entry)!r} lies in a folder of its own", fix="give it a plain file name")


def _tensor_refusals(manifest: Manifest, max_batch_size: int | None) -> Iterator[Problem]:
    runtime = manifest.runtime.kind
    specs = (*manifest.signature.inputs, *manifest.signature.outputs)
    is_batched = _batch_size(manifest.signature, max_batch_size) > 0
    for spec in specs:
        if spec.dtype not in _TYPES[runtime]:
            reason = f"Triton's {runtime} backend has no tensors of {spec.dtype}: {spec.name!r}"
            yield Problem(reason, fix="cast it inside the network to a type that it has, such as float32")
        if not spec.shape and not is_batched:
            yield Problem(f"Triton has no scalars: {spec.name!r}", fix="reshape it to one element inside the network")


def served(manifest: Manifest, *, max_batch_size: int | None) -> Served:
    """Translate a signature for which there are no `refusals`.

    Args:
        manifest: of the bundle.
        max_batch_size: what the user wants: 0 for whole shapes, None for the upper end of the batch's range.
    """
    signature, runtime = manifest.signature, manifest.runtime.kind
    size = _batch_size(signature, max_batch_size)
    kinds = _TYPES[runtime]
    return Served(
        backend=runtime,
        max_batch_size=size,
        inputs=tuple(_tensor(spec, kinds[spec.dtype], is_batched=size > 0) for spec in signature.inputs),
        outputs=tuple(_tensor(spec, kinds[spec.dtype], is_batched=size > 0) for spec in signature.outputs),
    )


def _batch(specs: Sequence[TensorSpec]) -> str | None:
    """The symbolic size that all tensors begin with: Triton stacks requests along it."""
    first: set[Dim] = {spec.shape[0] if spec.shape else None for spec in specs}
    only = next(iter(first)) if len(first) == 1 else None
    return only if isinstance(only, str) else None


def _batch_size(signature: Signature, wanted: int | None) -> int:
    """0 unless the network takes every number of samples from one to the result, or the user says that it does."""
    batch = _batch((*signature.inputs, *signature.outputs))
    if batch is None:
        return 0
    sizes = signature.dims.get(batch)
    if sizes is None:
        return wanted or 0
    most = sizes.max if wanted is None else min(wanted, sizes.max)
    return most if sizes.min <= 1 else 0


def _tensor(spec: TensorSpec, data_type: str, *, is_batched: bool) -> Tensor:
    shape = spec.shape[1:] if is_batched else spec.shape
    dims = tuple(size if isinstance(size, int) else _ANY_SIZE for size in shape)
    return Tensor(spec.name, data_type, dims or (1,), scalar=not dims)
