"""Timings of kernels, kept between builds: beside edgetool's cache, for one kind of machine and one version each."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from edgetool.disk import replace_file
from edgetool.engine.cache import default_root
from edgetool.errors import HostError

_FOLDER = "tensorrt-timings"


def timings(name: str) -> Path:
    """Where the timings of this name lie."""
    return default_root() / _FOLDER / name


def lend_timings(config: Any, path: Path) -> None:
    """Let the builder use and complete the timings at `path`; those of another version it refuses by itself."""
    try:
        known = path.read_bytes()
    except OSError:
        known = b""
    cache = config.create_timing_cache(known)
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


def keep_timings(config: Any, path: Path) -> None:
    """Not being able to costs time at the next build, and nothing else."""
    cache = config.get_timing_cache()
    if cache is not None:
        with contextlib.suppress(HostError):
            replace_file(path, bytes(cache.serialize()))
