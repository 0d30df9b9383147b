"""One walk through all samples: their digest, what the values span, and what looks wrong about them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgetool.errors import ConfigError
from edgetool.validate.samples import Array, Sample

if TYPE_CHECKING:
    from hashlib import _Hash

FEW_SAMPLES = 16
"""Fewer calibration samples than this are warned about; ranges of activations settle between 16 and 128."""

_MAX_CHANNELS = 4096


@dataclass(frozen=True, slots=True)
class Census:
    """What is known of a data set after reading it once.

    Attributes:
        count: how many feeds it gives.
        digest: sha256 hex over names, dtypes, shapes and bytes of all feeds, and over the labels.
        feed_digests: sha256 of every feed without its label.
        labelled: every sample has a label.
        warnings: one sentence each.
        regrouped: batches were joined or cut for the model, so that another model's digest of the same data differs.
    """

    count: int
    digest: str
    feed_digests: frozenset[bytes] = field(repr=False)
    labelled: bool
    warnings: tuple[str, ...]
    regrouped: bool = False


@dataclass(slots=True)
class _Span:
    """Smallest and largest value of one input so far, and of each of its channels."""

    low: float
    high: float
    channels: tuple[Array, Array] | None


@dataclass
class Digesting:
    """Takes samples one by one: sha256 over all feeds, and over the labels."""

    _digest: _Hash = field(default_factory=hashlib.sha256)

    def add(self, sample: Sample) -> bytes:
        """The feed's own digest. Raises ConfigError when the label cannot be hashed."""
        feed = feed_digest(sample.feeds)
        self._digest.update(feed)
        if sample.label is not None:
            self._digest.update(hashlib.sha256(_encoded(sample.label, sample.origin)).digest())
        return feed

    def hexdigest(self) -> str:
        """Of all so far."""
        return self._digest.hexdigest()


@dataclass
class Counting:
    """Takes samples one by one, then sums up."""

    what: str
    _digest: Digesting = field(default_factory=Digesting)
    _feeds: Counter[bytes] = field(default_factory=Counter)
    _spans: dict[str, _Span] = field(default_factory=dict)
    _classes: Counter[object] = field(default_factory=Counter)
    _notes: dict[str, None] = field(default_factory=dict)
    _labelled: int = 0
    _rows: int = 0
    _regrouped: bool = False

    def add(self, sample: Sample) -> None:
        """Raises ConfigError when a value is NaN or infinite, or a label cannot be hashed."""
        for name, array in sample.feeds.items():
            self._look_at(name, array, sample.origin)
        self._rows += _rows(sample.feeds)
        self._regrouped |= sample.regrouped
        self._feeds[self._digest.add(sample)] += 1
        if sample.label is not None:
            self._labelled += 1
            self._classes.update(_classes(sample.label))
        for cast in sample.casts:
            self.remark(cast)

    def remark(self, text: str) -> None:
        """Something to warn about that was seen elsewhere; said once however often it is seen."""
        self._notes[text] = None

    def result(self, *, calibration: bool, warnings: tuple[str, ...] = ()) -> Census:
        """Sum up. Raises ConfigError when there was no sample, or when all of them hold one value only."""
        count = self._feeds.total()
        if not count:
            raise ConfigError(
                "data-empty",
                "there are no samples",
                where=self.what,
                hint="add samples, or look at what the source yields",
            )
        if all(span.low == span.high for span in self._spans.values()) and self._spans:
            raise ConfigError(
                "data-constant",
                f"all {count} samples hold one constant value: they say nothing about real inputs",
                where=self.what,
                hint="use samples that the model will meet",
            )
        return Census(
            count=count,
            digest=self._digest.hexdigest(),
            feed_digests=frozenset(self._feeds),
            labelled=self._labelled == count,
            warnings=tuple(
                f"{self.what}: {text}" for text in (*warnings, *self._notes, *self._remarks(count, calibration))
            ),
            regrouped=self._regrouped,
        )

    def _look_at(self, name: str, array: Array, origin: str) -> None:
        import numpy as np

        if array.size == 0 or array.dtype == object:
            return
        values = array if array.dtype.kind in "biuf" else array.astype(np.float32)
        low, high = float(values.min()), float(values.max())
        if not np.isfinite([low, high]).all():
            bad = int(np.count_nonzero(~np.isfinite(values)))
            raise ConfigError(
                "data-not-finite",
                f"{bad} of {values.size} values are NaN or infinite",
                where=f"{origin}: {name}",
                hint="repair or remove the sample; a single NaN spoils every range that is calibrated",
            )
        channels = _channel_range(values)
        span = self._spans.setdefault(name, _Span(low, high, channels))
        span.low, span.high = min(span.low, low), max(span.high, high)
        span.channels = _wider(span.channels, channels)

    def _remarks(self, count: int, calibration: bool) -> list[str]:
        import numpy as np

        remarks = []
        if calibration and self._rows < FEW_SAMPLES:
            remarks.append(f"only {self._rows} samples: ranges of activations will be rough, use 64 or more")
        repeated = count - len(self._feeds)
        if repeated:
            remarks.append(f"{repeated} of {count} samples repeat others")
        for name, span in self._spans.items():
            if span.low == span.high and span.low != 0 and count > 1:
                remarks.append(f"input {name!r} is {span.low:g} everywhere")
            elif span.channels is not None and span.low != span.high:
                dead = np.flatnonzero(span.channels[0] == span.channels[1])
                if dead.size:
                    shown = ", ".join(map(str, dead[:5])) + (", …" if dead.size > 5 else "")
                    remarks.append(f"input {name!r}: channel {shown} is constant in all samples")
        if 0 < self._labelled < count:
            remarks.append(f"{count - self._labelled} of {count} samples have no label")
        if len(self._classes) == 1 and self._labelled > 1:
            remarks.append(f"all samples are of one class ({next(iter(self._classes))})")
        return remarks


def feed_digest(feeds: Mapping[str, Array]) -> bytes:
    """sha256 over names, dtypes, shapes and bytes, whatever the order of the names or of memory."""
    digest = hashlib.sha256()
    for name in sorted(feeds):
        array = feeds[name]
        head = json.dumps([name, array.dtype.name, list(array.shape)])
        digest.update(head.encode() + b"\n")
        digest.update(_array_bytes(array))
    return digest.digest()


def overlap(calibration: Collection[object], evaluation: Collection[object]) -> str | None:
    """A warning when samples (their `feed_digests`) that were calibrated with are also judged by."""
    shared = len(set(calibration) & set(evaluation))
    if not shared:
        return None
    return (
        f"{shared} of {len(evaluation)} evaluation samples were also calibrated with: the measured accuracy is too kind"
    )


def _rows(feeds: Mapping[str, Array]) -> int:
    """How many samples a feed holds: the size of the first axis where all inputs share it, as batches do."""
    sizes = {array.shape[0] if array.ndim else 1 for array in feeds.values()}
    return sizes.pop() if len(sizes) == 1 else 1


def _array_bytes(array: Array) -> bytes | memoryview:
    import numpy as np

    if array.dtype == object or array.dtype.kind in "US":
        return json.dumps(array.tolist()).encode()
    little = array.astype(array.dtype.newbyteorder("<"), copy=False) if array.dtype.kind in "iufc" else array
    return np.ascontiguousarray(little).reshape(-1).view(np.uint8).data


def _channel_range(values: Array) -> tuple[Array, Array] | None:
    """Range of every channel, taking axis 1 for the channels; None for arrays that have none."""
    if values.ndim < 3 or values.dtype.kind != "f" or not 1 < values.shape[1] <= _MAX_CHANNELS:
        return None
    import numpy as np

    # Along memory first: over several axes at once numpy takes ten times as long.
    rows = np.ascontiguousarray(values).reshape(*values.shape[:2], -1)
    return rows.min(axis=2).min(axis=0), rows.max(axis=2).max(axis=0)


def _wider(one: tuple[Array, Array] | None, other: tuple[Array, Array] | None) -> tuple[Array, Array] | None:
    import numpy as np

    if one is None or other is None or one[0].shape != other[0].shape:
        return None
    return np.minimum(one[0], other[0]), np.maximum(one[1], other[1])


def _classes(label: object) -> list[object]:
    """Integers in a label, which are taken for class numbers."""
    import numpy as np

    array = np.asarray(label) if isinstance(label, (int, np.generic, np.ndarray)) else None
    return array.reshape(-1).tolist() if array is not None and array.dtype.kind in "iu" and array.size <= 4096 else []


def _encoded(label: object, origin: str) -> bytes:
    """A label as bytes that are the same in every run."""
    import numpy as np

    if isinstance(label, (np.ndarray, np.generic)):
        array = np.asarray(label)
        return f"array {array.dtype.name} {list(array.shape)} ".encode() + bytes(_array_bytes(array))
    if label is None or isinstance(label, (bool, int, float, str)):
        return f"{type(label).__name__} {label!r}".encode()
    if isinstance(label, bytes):
        return b"bytes " + label
    if isinstance(label, (list, tuple)):
        return b"[" + b",".join(_framed(_encoded(item, origin)) for item in label) + b"]"
    if isinstance(label, Mapping):
        pairs = sorted((_encoded(key, origin), _encoded(value, origin)) for key, value in label.items())
        return b"{" + b",".join(_framed(key) + _framed(value) for key, value in pairs) + b"}"
    raise ConfigError(
        "bad-label",
        f"a label is {type(label).__name__}",
        where=origin,
        hint="labels are arrays, numbers, strings, or lists and dicts of these",
    )


def _framed(data: bytes) -> bytes:
    return str(len(data)).encode() + b":" + data
