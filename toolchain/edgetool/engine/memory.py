"""How native libraries say that memory ran out: each in its own words, and rarely as a `MemoryError`."""

from __future__ import annotations

import re

_WORDS = re.compile(
    r"bad[_ ]alloc|MemoryError|(failed|unable|cannot|could not) (to )?(allocate|map)|not enough (memory|space)"
    r"|out of memory|memory allocation|DefaultCPUAllocator|can't start new thread|Resource temporarily unavailable"
    r"|failed to map segment|cannot create thread|cannot enable executable stack",
    re.IGNORECASE,
)


def speaks_of_memory(text: str) -> bool:
    """Whether a message or the end of a log tells of memory that could not be had."""
    return _WORDS.search(text) is not None
