"""Puts stored weights into a network, and says precisely which of them do not fit."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.errors import ModelError
from edgetool_torch.kinds import Kind, kind_of
from edgetool_torch.quiet import quiet

if TYPE_CHECKING:
    import torch

_SHOWN = 4


def load_weights(network: torch.nn.Module, path: Path) -> None:
    """Load a safetensors file or a weights-only state dict into a network, strictly.

    Raises:
        ModelError: `untrusted-pickle`, `weights-unreadable`, or `weights-mismatch` naming the keys.
    """
    stored = read_weights(path)
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in stored.items()}
    if reasons := _differences(wanted, given):
        raise ModelError(
            "weights-mismatch",
            f"the weights do not fit the network: {'; '.join(reasons)}",
            where=str(path),
            hint=_cure(wanted, given),
        )
    network.load_state_dict(dict(stored), strict=True)


def read_weights(path: Path) -> Mapping[str, torch.Tensor]:
    """Name to tensor. Nothing is unpickled but tensors.

    Raises:
        ModelError: `untrusted-pickle`, `weights-unreadable`.
    """
    kind = kind_of(path)
    if kind is Kind.SAFETENSORS:
        return _read_safetensors(path)
    if kind is not Kind.STATE_DICT:
        raise ModelError(
            "untrusted-pickle" if kind is Kind.PICKLED_OBJECT else "weights-unreadable",
            f"the weights are in {kind.value}, not in a plain state dict",
            where=str(path),
            hint="save them with torch.save(network.state_dict(), path) or as safetensors",
        )
    return _read_state_dict(path)


def _read_safetensors(path: Path) -> Mapping[str, torch.Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise ModelError(
            "weights-unreadable",
            "reading safetensors needs the package safetensors",
            where=str(path),
            hint="pip install 'edgetool[torch]'",
        ) from error
    try:
        loaded: Mapping[str, torch.Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return loaded


def _read_state_dict(path: Path) -> Mapping[str, torch.Tensor]:
    import pickle

    import torch

    try:
        with quiet():
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, TypeError, KeyError) as error:
        raise _unreadable(path, error) from error
    if _is_state_dict(loaded):
        return loaded  # type: ignore[no-any-return] # just checked
    inside = [key for key, value in loaded.items() if _is_state_dict(value)] if isinstance(loaded, Mapping) else []
    if len(inside) == 1:
        return loaded[inside[0]]  # type: ignore[no-any-return] # just checked
    raise ModelError(
        "weights-unreadable",
        f"no state dict found in it, but {_described(loaded)}",
        where=str(path),
        hint="save the state dict alone: torch.save(network.state_dict(), path)",
    )


def _unreadable(path: Path, error: Exception) -> ModelError:
    lines = str(error).strip().splitlines()
    return ModelError(
        "weights-unreadable",
        f"cannot read the weights: {lines[0] if lines else type(error).__name__}",
        where=str(path),
        hint="save them again with torch.save(network.state_dict(), path) or as safetensors",
    )


def _is_state_dict(value: Any) -> bool:
    import torch

    return isinstance(value, Mapping) and bool(value) and all(isinstance(row, torch.Tensor) for row in value.values())


def _described(loaded: Any) -> str:
    if isinstance(loaded, Mapping):
        return f"a dict with the keys {', '.join(map(str, list(loaded)[:_SHOWN]))}"
    return f"a {type(loaded).__name__}"


def _differences(wanted: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]) -> list[str]:
    reasons = []
    if missing := [name for name in wanted if name not in given]:
        reasons.append(f"missing {_listed(missing)}")
    if unexpected := [name for name in given if name not in wanted]:
        reasons.append(f"unexpected {_listed([_with_guess(name, missing) for name in unexpected])}")
    wrong = [
        f"{name} is {list(given[name])}, the network has {list(shape)}"
        for name, shape in wanted.items()
        if name in given and given[name] != shape
    ]
    if wrong:
        reasons.append(_listed(wrong))
    return reasons


def _with_guess(name: str, missing: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, missing, n=1)
    return f"{name} (did you mean {close[0]}?)" if close else name


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _cure(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """What to do: name the prefix when one explains everything."""
    for prefix in sorted({name.partition(".")[0] for name in given}):
        if {name.removeprefix(f"{prefix}.") for name in given} == set(wanted):
            return f"every key starts with {prefix + '.'!r}: remove it when you save, e.g. as network.{prefix} does"
    return "build the network in the factory as it was when the weights were saved"
