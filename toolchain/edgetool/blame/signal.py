"""Signal over error, added up over samples: the one figure that blame compares layers by."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


class SignalSum:
    """Energies of a wanted signal, of what came instead, and of the error, over all elements that are finite."""

    def __init__(self) -> None:
        self._wanted = self._found = self._error = self._product = 0.0

    def add(self, wanted: np.ndarray[Any, Any], found: np.ndarray[Any, Any]) -> None:
        import numpy as np

        wanted, found = (array.astype(np.float32, copy=False).reshape(-1) for array in (wanted, found))
        finite = np.isfinite(wanted) & np.isfinite(found)
        if not finite.all():
            wanted, found = wanted[finite], found[finite]
        error = found - wanted
        # float32 products, summed pairwise by BLAS: their error is far below any that is looked for here.
        self._wanted += float(wanted @ wanted)
        self._found += float(found @ found)
        self._product += float(wanted @ found)
        self._error += float(error @ error)

    @property
    def decibel(self) -> float:
        """10 log10 of signal over error; infinite when nothing differs."""
        if self._error == 0:
            return math.inf
        return 10 * math.log10(self._wanted / self._error) if self._wanted else -math.inf

    @property
    def cosine(self) -> float:
        scale = math.sqrt(self._wanted) * math.sqrt(self._found)
        return self._product / scale if scale else float(self._wanted == self._found)
