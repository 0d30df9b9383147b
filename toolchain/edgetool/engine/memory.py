"""The memory of child processes: when it ran out, as native libraries tell it, and returning it when it is free."""

from __future__ import annotations

import contextlib
import ctypes
import re

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


def give_back() -> None:
    """Return freed memory to the system: glibc keeps it otherwise, and the next process lacks it."""
    with contextlib.suppress(OSError, AttributeError):  # other C libraries return it by themselves
        ctypes.CDLL(None).malloc_trim(0)
