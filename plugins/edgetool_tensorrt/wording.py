"""What TensorRT-RTX says, without what nobody can use: source lines, function names, and that there is no GPU."""

from __future__ import annotations

import re

_NO_GPU = re.compile(r"catchCudaError|cudaError \d+|CUDA driver version is insufficient", re.IGNORECASE)
_MEMORY = re.compile(r"bad_alloc|OutOfMemory|could not be allocated")
_HEAD = re.compile(r"^.*?Error Code \d+: [\w ]+\(|^Unexpected exception |^Invalid Node - .*$")
_PLACE = re.compile(r"\.?\s+In \w+ at \S+:\d+\)?$")
_INSIDE = re.compile(r"\[\w+\.cpp:\d+: \w+\] ")
_QUOTED_ASSERTION = re.compile(r'^.*?&& "(?P<message>[^"]+)".*$')
_ASSERTION = re.compile(r"^.*?Assertion failed: .*?: (?P<message>[A-Z].*)$")
_CONDITION = re.compile(r"^Assertion .*? failed\. ")


def without_gpu_noise(text: str) -> str:
    """A message less the lines that only say that this machine has no GPU, which building does not need."""
    return "\n".join(line for line in text.splitlines() if not _NO_GPU.search(line)).strip()


def speaks_of_memory(text: str) -> bool:
    """Whether this machine ran out of memory."""
    return _MEMORY.search(text) is not None


def boiled_down(text: str) -> str:
    """The sentences that say something, joined by semicolons; empty when there is none."""
    lines = (_sentence(line) for line in without_gpu_noise(text).splitlines())
    return "; ".join(dict.fromkeys(filter(None, lines)))


def _sentence(line: str) -> str:
    for pattern in (_QUOTED_ASSERTION, _ASSERTION):
        if found := pattern.match(line):
            return found["message"].strip().rstrip(".")
    line = _INSIDE.sub("", _PLACE.sub("", _HEAD.sub("", line)))
    return _CONDITION.sub("", line).strip().rstrip(".")
