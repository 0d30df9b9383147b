"""The two shapes of one sample: as a source gives it, and as the model takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True, slots=True, eq=False)
class RawSample:
    """What a file or a user's function held.

    Attributes:
        arrays: by input name, dtype and rank as found.
        label: what the metric judges by; None when there is none.
        origin: file or position, for messages.
    """

    arrays: Mapping[str, Array]
    label: object
    origin: str


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One feed for the model.

    Attributes:
        feeds: input name to array, with the model's dtype and rank; not writeable.
        label: as in `RawSample`; an array with one entry a member where several samples make one batch.
        origin: file or position, relative to the project, for reports.
        casts: what was converted on the way, one sentence each.
        regrouped: it is several samples of the source in one batch, or one out of a batch of the source.
    """

    feeds: Mapping[str, Array]
    label: object
    origin: str
    casts: tuple[str, ...] = ()
    regrouped: bool = False
