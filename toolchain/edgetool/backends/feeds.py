"""What every runner checks before it infers: names, dtypes, ranks and fixed sizes of the feeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgetool.errors import ConfigError
from edgetool.signature import Signature, TensorSpec

if TYPE_CHECKING:
    import numpy as np

    from edgetool.runner import Feeds


def checked_feeds(signature: Signature, feeds: Feeds, *, where: str) -> dict[str, np.ndarray[Any, Any]]:
    """The feeds in the signature's order, as contiguous arrays, once they are known to fit.

    A spec with an empty shape may be a scalar or a tensor of unknown rank, which some runtimes cannot tell
    apart, so its rank is left to the runtime.

    Args:
        signature: of the engine.
        feeds: input name -> array, as the caller gave them.
        where: the engine's file, for the message.

    Raises:
        ConfigError: `wrong-feeds`, naming the input and what it wants.
    """
    wanted = [spec.name for spec in signature.inputs]
    if missing := [name for name in wanted if name not in feeds]:
        raise _wrong(f"no feed for input {_quoted(missing)}", signature, where)
    if extra := [name for name in feeds if name not in wanted]:
        raise _wrong(f"{_quoted(extra)} is not an input of the model", signature, where)
    return {spec.name: _checked(spec, feeds[spec.name], signature, where) for spec in signature.inputs}


def _checked(spec: TensorSpec, value: object, signature: Signature, where: str) -> np.ndarray[Any, Any]:
    import numpy as np

    if not isinstance(value, (np.ndarray, np.generic)):
        raise _wrong(f"input {spec.name!r} wants a numpy array, got {type(value).__name__}", signature, where)
    array = np.asarray(value, order="C")
    if not _is_dtype(array.dtype, spec.dtype):
        raise _wrong(f"input {spec.name!r} wants {spec.dtype}, got {array.dtype}", signature, where)
    if not spec.shape:
        return array
    if array.ndim != len(spec.shape):
        raise _wrong(
            f"input {spec.name!r} wants {len(spec.shape)} dimensions, got {array.ndim} (shape {list(array.shape)})",
            signature,
            where,
        )
    for axis, (size, dim) in enumerate(zip(array.shape, spec.shape, strict=True)):
        if isinstance(dim, int) and size != dim:
            raise _wrong(f"input {spec.name!r} wants size {dim} on axis {axis}, got {size}", signature, where)
    return array


def _is_dtype(dtype: np.dtype[Any], name: str) -> bool:
    return dtype.kind in "OU" if name == "string" else dtype.name == name


def _quoted(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _wrong(message: str, signature: Signature, where: str) -> ConfigError:
    inputs = "; ".join(str(spec) for spec in signature.inputs) or "none"
    return ConfigError("wrong-feeds", message, where=where, hint=f"the model's inputs are {inputs}")
