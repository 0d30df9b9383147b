"""An opened engine or model, ready to infer: what goes in, what comes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from edgetool.signature import Signature

if TYPE_CHECKING:
    import numpy as np

Feeds: TypeAlias = "Mapping[str, np.ndarray[Any, Any]]"
"""Tensor name to array: what goes into a Runner, and what comes out."""


class Runner(ABC):
    """An opened engine. A context manager; `infer` may be called any number of times, from one thread."""

    signature: Signature

    @abstractmethod
    def infer(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        """Run once. Feeds and results are name -> array; results hold every output of the signature."""

    @abstractmethod
    def close(self) -> None:
        """Give back the device memory. Closing twice is harmless."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
