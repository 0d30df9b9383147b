"""TensorRT-RTX in the place of TensorRT: what a release lacks is hidden, what RTX lacks is filled in with a number.

Engines that come of it are real and those of TensorRT-RTX. What it shows is that the code for a release runs, with the
names that the release has; nothing of what the release itself makes of them.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tests.tensorrt.api_members import members
from tests.tensorrt.api_uses import RTX


class Restricted:
    """The module `tensorrt_rtx` with the names of another release.

    Args:
        release: one of `api_uses.RELEASES`.
        version: what it calls itself; the version in engines' headers stays RTX's.
    """

    def __init__(self, release: str) -> None:
        import tensorrt_rtx

        self.__name__ = "tensorrt"
        self.__version__ = tensorrt_rtx.__version__
        self._inner = tensorrt_rtx
        self._release = release
        self._table = members()

    def __getattr__(self, name: str) -> Any:
        releases = self._table.get(name, [])
        if self._release not in releases:
            raise AttributeError(f"TensorRT {self._release} has no {name}, or the table does not know it")
        if RTX not in releases:
            return type(name, (), {})
        lacking = [row for row in self._table if row.startswith(f"{name}.") and RTX not in self._table[row]]
        filled = {
            row.partition(".")[2]: index for index, row in enumerate(lacking) if self._release in self._table[row]
        }
        if not filled:
            return getattr(self._inner, name)
        return SimpleNamespace(**{**_enumeration(getattr(self._inner, name)), **filled})


def _enumeration(kind: Any) -> dict[str, Any]:
    return dict(getattr(kind, "__members__", {}))
