"""A network that is ready to be called: what every kind of source becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from edgetool.errors import ConfigError
from edgetool.signature import DimRange, TensorSpec
from edgetool_torch.calling import Calling

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
"""Element types that both numpy and PyTorch have."""

Form: TypeAlias = Literal["module", "program", "torchscript"]


@dataclass(frozen=True)
class Network:
    """What conversions start from and are compared with.

    Attributes:
        module: callable in eager mode, in evaluation mode, on the CPU.
        form: `module` has Python code, `program` is what torch.export made, `torchscript` is a script module.
        program: the torch.export program, when that is the source.
        specs: declared inputs; every symbolic dimension is in `dims`.
        dims: ranges of the symbolic dimensions; those with a single size are fixed in `specs` instead.
        calling: how the inputs become arguments.
        environment: makes what is to be entered while the network's code runs (its modules are importable there).
    """

    module: torch.nn.Module
    form: Form
    specs: tuple[TensorSpec, ...]
    dims: Mapping[str, DimRange]
    calling: Calling
    program: Any = None
    environment: Callable[[], AbstractContextManager[None]] = nullcontext

    def run(self, tensors: Mapping[str, torch.Tensor]) -> Any:
        """Call the network on named tensors."""
        positional, keyword = self.calling.arguments(tensors)
        return self.module(*positional, **keyword)


def check_inputs(specs: Sequence[TensorSpec], dims: Mapping[str, DimRange]) -> None:
    """Element types exist here, and every symbolic dimension has a range.

    Raises:
        ConfigError: `unknown-dtype`, `dim-without-range`.
    """
    for spec in specs:
        if spec.dtype not in DTYPES:
            raise ConfigError(
                "unknown-dtype",
                f"input {spec.name!r} cannot be {spec.dtype!r} here",
                where=f"[model.inputs.{spec.name}] dtype",
                hint=f"one of {', '.join(DTYPES)}",
            )
        for dim in spec.shape:
            if not isinstance(dim, int) and dim not in dims:
                raise ConfigError(
                    "dim-without-range",
                    f"dimension {dim!r} of input {spec.name!r} has no range, so nothing can be proven for it",
                    where=f"[model.dims.{dim}]",
                    hint=f"add [model.dims.{dim}] min = 1, opt = 1, max = 8",
                )


def fix_single_sizes(
    specs: tuple[TensorSpec, ...], dims: Mapping[str, DimRange]
) -> tuple[tuple[TensorSpec, ...], dict[str, DimRange]]:
    """Replace dimensions that can only have one size by that size, and drop ranges that nobody uses."""
    used = {dim for spec in specs for dim in spec.shape}
    single = {name: wanted.min for name, wanted in dims.items() if wanted.min == wanted.max}
    fixed = tuple(
        TensorSpec(
            spec.name, spec.dtype, tuple(single.get(dim, dim) if isinstance(dim, str) else dim for dim in spec.shape)
        )
        for spec in specs
    )
    return fixed, {name: wanted for name, wanted in dims.items() if name in used and name not in single}
