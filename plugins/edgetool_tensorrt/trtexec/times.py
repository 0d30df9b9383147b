"""Times of single inferences, from the JSON of `--exportTimes`."""

from __future__ import annotations

import json
import math

from edgetool.errors import DeviceError

_FIELD = "computeMs"
"""GPU time from the first kernel to the last, by CUDA events. With `--noDataTransfers`, which is how edgetool measures,
`latencyMs` is the same number; with transfers it adds both copies, which depend on the host more than on the engine."""


def read_times(text: str) -> list[float]:
    """Seconds that each inference took on the GPU, warm-up left out.

    Args:
        text: what trtexec wrote; the same keys from TensorRT 8.0 to 11.1.

    Raises:
        DeviceError: `bad-trtexec-output`: not that format, no inference, or a time that is none.
    """
    try:
        seconds = [float(row[_FIELD]) / 1000 for row in json.loads(text)]
    except (ValueError, TypeError, KeyError) as error:
        raise _bad(f"not a list of rows with {_FIELD}") from error
    if not seconds:
        raise _bad("not one inference was measured")
    if not all(math.isfinite(one) and one >= 0 for one in seconds):
        raise _bad("a time is negative or not finite")
    return seconds


def _bad(what: str) -> DeviceError:
    return DeviceError(
        "bad-trtexec-output",
        f"the times that trtexec wrote are unreadable: {what}",
        hint="look at the log: it ended early, or the disk of the device is full",
    )
