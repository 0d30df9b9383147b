"""Keeps every output of a long evaluation for the metric, in memory while it is small and on disk when it is not."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, overload

from edgetool.errors import HostError
from edgetool.validate.samples import Array

MEMORY_BYTES = 48 << 20
"""What outputs may take of memory before further ones go to a temporary file."""


class KeptOutputs(Sequence[Mapping[str, Array]]):
    """A list of outputs, one dict a feed, that may be larger than memory. Read it while `kept_outputs` is open."""

    def __init__(self, spill: IO[bytes]) -> None:
        self._spill = spill
        self._rows: list[Mapping[str, Array]] = []
        self._in_memory = 0

    def append(self, outputs: Mapping[str, Array]) -> None:
        """Raises HostError when the disk is full."""
        size = sum(array.nbytes for array in outputs.values())
        if self._in_memory + size <= MEMORY_BYTES:
            self._in_memory += size
            self._rows.append(outputs)
        else:
            self._rows.append({name: self._spilled(array) for name, array in outputs.items()})

    def _spilled(self, array: Array) -> Array:
        import numpy as np

        if array.size == 0 or array.dtype == object:
            return array
        offset = self._spill.seek(0, 2)
        try:
            self._spill.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
            self._spill.flush()
        except OSError as error:
            raise HostError(
                "disk-full",
                f"no room for the outputs that the metric needs: {error.strerror}",
                where=tempfile.gettempdir(),
                hint="point TMPDIR to a larger disk, or evaluate on fewer samples",
            ) from error
        return np.memmap(self._spill, dtype=array.dtype, mode="r", offset=offset, shape=array.shape)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Array]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Array]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Array] | Sequence[Mapping[str, Array]]:
        return self._rows[index]


@contextmanager
def kept_outputs() -> Iterator[KeptOutputs]:
    """An empty list of outputs; what it wrote to disk goes with it."""
    with tempfile.TemporaryFile(prefix="edgetool-outputs-") as spill:
        yield KeptOutputs(spill)
