"""The memory of child processes: when it ran out, as native libraries tell it, and returning it when it is free."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
import resource
from pathlib import Path

_M_MMAP_THRESHOLD = -3
_LARGE = 4 << 20  # bytes
_WORDS = re.compile(
    r"bad[_ ]alloc|MemoryError|(failed|unable|cannot|could not) (to )?(allocate|map)|not enough (memory|space)"
    r"|out of memory|memory allocation|DefaultCPUAllocator|can't start new thread|Resource temporarily unavailable"
    r"|failed to map segment|cannot create thread|cannot enable executable stack",
    re.IGNORECASE,
)
"""Each library has words of its own, and few raise `MemoryError`."""


def speaks_of_memory(text: str) -> bool:
    """Whether a message or the end of a log tells of memory that could not be had."""
    return _WORDS.search(text) is not None


def peak_resident() -> int:
    """Bytes of this process's largest resident set.

    Read from /proc where there is one: the figure of `getrusage` starts, on Linux, at the size of the parent.
    """
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def keep_blocks_apart() -> None:
    """Have glibc map every large block by itself, so that freeing one returns it.

    By default its threshold grows to 32 MiB with the first large block that is freed; the weights of the next model
    then lie between each other's remains, and opening a model takes three times its size instead of one and a half.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)


def give_back() -> None:
    """Return freed memory to the system: glibc keeps it otherwise, and the next process lacks it.

    Graphs whose nodes know each other are cycles, and weigh as much as their weights until they are collected.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # other C libraries return it by themselves
        ctypes.CDLL(None).malloc_trim(0)
