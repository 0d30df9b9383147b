"""Measured latencies, kept apart from the cache of steps: they belong to an engine *and* to a machine and grow old."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic

from edgetool.disk import replace_file
from edgetool.engine.cache import Cache, make_key
from edgetool.engine.planned import PlannedBackend
from edgetool.errors import HostError
from edgetool.host import read_host
from edgetool.validate.latency import Latency


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured of an engine, on this machine or on its device.

    Attributes:
        latency: engine and reference in turns; the engine alone on a device.
        peak_memory: bytes of the engine's process at its largest.
        measured_at: seconds since the epoch.
        device: name of the device that it ran on; None for this machine.
        conditions: what the times depend on besides the engine: clocks, power mode, temperature.
    """

    latency: Latency
    peak_memory: int
    measured_at: float
    device: str | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def age(self) -> float:
        """Seconds since it was measured."""
        return max(0.0, time.time() - self.measured_at)


def measurement_key(engine: str, reference: str, backend: PlannedBackend, *, threads: int) -> str:
    """Digest of what a latency belongs to: both models, how they run, this machine, and the device if there is one.

    Args:
        engine, reference: their digests.
        backend: of the engine.
        threads: that it runs with.
    """
    host = read_host()
    parts = {"engine": engine, "reference": reference, "options": dict(backend.options), "threads": threads,
             "device": backend.device, "cpu": host.cpu, "isa": list(host.isa), "arch": host.arch}  # fmt: skip
    return make_key("measurement", parts).digest


def load_measurement(cache: Cache, key: str) -> Measurement | None:
    """The latest measurement under a key, or None."""
    try:
        return from_result(json.loads(_path(cache, key).read_text()))
    except (OSError, ValueError):
        return None


def save_measurement(cache: Cache, key: str, result: Mapping[str, Any]) -> Measurement:
    """Keep a measurement as a task returned it. A cache that cannot be written to only forgets it."""
    path = _path(cache, key)
    with contextlib.suppress(OSError, HostError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(result).encode())
    return from_result(result)


def from_result(result: Mapping[str, Any]) -> Measurement:
    return pydantic.TypeAdapter(Measurement).validate_python(result)


def _path(cache: Cache, key: str) -> Path:
    return cache.root / "measurements" / f"{key}.json"
