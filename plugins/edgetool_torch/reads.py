"""Finds where a network takes values out of tensors into Python: branches that tracing would fix for good."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from edgetool_torch.reasons import is_users

if TYPE_CHECKING:
    import torch


def reads_of(run: Callable[[], Any], inputs: Sequence[torch.Tensor]) -> tuple[str, ...]:
    """Lines of the user's code (`file:line`) that read a value which depends on the inputs.

    Every operator is watched: what it makes out of a marked tensor is marked too; `item()`, `bool()` and the like
    arrive as one operator. Values of parameters and constants may be read freely.

    Args:
        run: calls the network on `inputs`.
        inputs: the tensors to mark.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves
    from torch.utils.weak import WeakIdKeyDictionary

    marked: Any = WeakIdKeyDictionary()
    lines: dict[str, None] = {}
    for tensor in inputs:
        marked[tensor] = True

    class Watch(TorchDispatchMode):  # type: ignore[misc] # torch has no types here
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            given = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, torch.Tensor)]
            depends = any(leaf in marked for leaf in given)
            if depends and func is torch.ops.aten._local_scalar_dense.default:
                lines[_users_line()] = None
            result = func(*args, **(kwargs or {}))
            if depends:
                for leaf in tree_leaves(result):
                    if isinstance(leaf, torch.Tensor):
                        marked[leaf] = True
            return result

    with Watch():
        run()
    return tuple(lines)


def _users_line() -> str:
    own = [frame for frame in traceback.extract_stack() if is_users(frame.filename)]
    frame = own[-1] if own else traceback.extract_stack()[-3]
    return f"{frame.filename}:{frame.lineno}"
