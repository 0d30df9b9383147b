"""Opens what the user has, file or factory, as a network."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.errors import ConfigError, ModelError
from edgetool.importers.base import ImportRequest, Source
from edgetool.signature import DimRange, TensorSpec
from edgetool.validate.usercode import UserFunction
from edgetool_torch.calling import Parameter, parameters_of, plan_call
from edgetool_torch.kinds import Kind, kind_of
from edgetool_torch.network import Network, check_inputs, fix_single_sizes
from edgetool_torch.program import open_program
from edgetool_torch.quiet import quiet
from edgetool_torch.reasons import blame
from edgetool_torch.weights import load_weights

if TYPE_CHECKING:
    import torch


def open_network(source: Source, request: ImportRequest) -> Network:
    """The network of a source, in evaluation mode on the CPU.

    Raises:
        ConfigError: the declared inputs do not fit forward(), or ranges are missing.
        ModelError: the file or the factory cannot be used, or must not be.
    """
    if source.factory is not None:
        return _open_factory(source, request)
    if source.path is None:
        raise ConfigError("unknown-source", f"{source.text!r} is neither a file nor module:function")
    kind = kind_of(source.path)
    if source.weights is not None:
        raise ConfigError(
            "weights-without-factory",
            f"weights are given, but {source.text!r} is {kind.value} and carries its own",
            where="[model] weights",
            hint="leave weights out, or name a factory as the source",
        )
    if kind is Kind.EXPORTED_PROGRAM:
        return open_program(source.path, request, trusted=source.trusted)
    if kind is Kind.TORCHSCRIPT:
        return _open_torchscript(source.path, request)
    if kind is Kind.PICKLED_OBJECT:
        return _open_pickled(source.path, source, request)
    raise _no_network(source, kind)


def _no_network(source: Source, kind: Kind) -> ModelError:
    if kind is Kind.OLD_EXPORTED_PROGRAM:
        return ModelError(
            "unreadable-torch-file",
            "a torch.export program in the format of PyTorch 2.7 and older",
            where=source.text,
            hint="load it with that PyTorch, then export and save it again with a newer one",
        )
    return ModelError(
        "weights-without-network",
        f"{kind.value}: nothing in it says how to compute with them",
        where=source.text,
        hint=f"name a factory as the source, module:function, and set weights = {source.text!r} in [model]",
    )


def _open_factory(source: Source, request: ImportRequest) -> Network:
    import torch

    assert source.factory is not None
    factory = UserFunction(source.factory, root=source.root)
    made = factory.call()
    if not isinstance(made, torch.nn.Module):
        what = "a class, not an instance" if isinstance(made, type) else f"a {type(made).__name__}"
        raise ModelError(
            "factory-without-module",
            f"{source.factory} returned {what}, not a torch.nn.Module",
            where=source.factory,
            hint="return the network itself: `return Net()`; weights go into [model] weights",
        )
    if source.weights is not None:
        load_weights(made, source.weights)
    network = _from_module(made, request, source.factory)
    return replace(network, environment=factory.active)


def _from_module(module: torch.nn.Module, request: ImportRequest, name: str) -> Network:
    parameters = parameters_of(module.forward)
    specs, dims = _declared(request, [row.name for row in parameters if row.required], name)
    module.eval().cpu().requires_grad_(False)
    return Network(module, "module", specs, dims, plan_call(parameters, specs, source=name))


def _open_torchscript(path: Path, request: ImportRequest) -> Network:
    import torch

    try:
        with quiet():
            script = torch.jit.load(path, map_location="cpu")
    except (RuntimeError, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    arguments = script.forward.schema.arguments[1:]
    parameters = [
        Parameter(row.name, "keyword" if row.kwarg_only else "positional", not row.has_default_value())
        for row in arguments
    ]
    specs, dims = _declared(request, [row.name for row in parameters if row.required], path.name)
    script.eval()
    return Network(script, "torchscript", specs, dims, plan_call(parameters, specs, source=path.name))


def _open_pickled(path: Path, source: Source, request: ImportRequest) -> Network:
    import torch

    if not source.trusted:
        raise ModelError(
            "untrusted-pickle",
            "a pickled network: loading it would run whatever code its author put into it",
            where=str(path),
            hint="save a torch.export program or a state dict instead, or pass --trust-source if you made it yourself",
        )

    @contextlib.contextmanager
    def importable() -> Iterator[None]:
        before = list(sys.path)
        sys.path.insert(0, str(source.root))
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        finally:
            sys.path[:] = before

    try:
        with importable():
            loaded = torch.load(path, map_location="cpu", weights_only=False)
    except (Exception, SystemExit) as error:  # unpickling runs foreign code, which may raise anything
        text, where = blame(error)
        raise ModelError(
            "unreadable-torch-file",
            f"unpickling failed: {text}",
            where=where or str(path),
            hint=f"its classes must be importable from {source.root}",
        ) from error
    if not isinstance(loaded, torch.nn.Module):
        raise ModelError(
            "weights-without-network",
            f"the pickle holds a {type(loaded).__name__}, not a torch.nn.Module",
            where=str(path),
            hint="name a factory as the source, module:function, and give the weights in [model] weights",
        )
    network = _from_module(loaded, request, path.name)
    return replace(network, environment=importable)


def _damaged(path: Path, error: Exception) -> ModelError:
    text, _ = blame(error)
    return ModelError(
        "unreadable-torch-file",
        f"cannot be loaded: {text}",
        where=str(path),
        hint="it may be damaged, or made by another version of PyTorch: export it again",
    )


def _declared(
    request: ImportRequest, names: list[str], source: str
) -> tuple[tuple[TensorSpec, ...], dict[str, DimRange]]:
    """Declared inputs and ranges, checked.

    Args:
        request: what the user declared.
        names: parameters of forward() that need an input, for the hint.
        source: what to call the network.
    """
    if not request.inputs:
        table = names[0] if names else "NAME"
        raise ConfigError(
            "inputs-undeclared",
            f"forward() of {source} takes {', '.join(names) or 'no tensor'}, but nothing says of which shapes",
            where="[model.inputs]",
            hint=f'declare each: [model.inputs.{table}] shape = ["batch", 3, 224, 224], dtype = "float32"',
        )
    check_inputs(request.inputs, request.dims)
    return fix_single_sizes(request.inputs, request.dims)
