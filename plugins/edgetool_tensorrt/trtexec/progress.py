"""Lines of trtexec's log, as something to show while it works."""

from __future__ import annotations

import re

_STEPS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"\[TRT\] \[MemUsageChange\] Init CUDA\b", "starting CUDA"),
        (r"\[I\] Start parsing network model", "reading the model"),
        (r"\[I\] Finish(?:ed)? parsing network model", "model read"),
        (r"\[TRT\] Global timing cache in use", "searching kernels, with the timing cache"),
        (r"\[TRT\] (?:Local timing cache in use|Graph optimization time|\[GraphReduction\])", "searching kernels"),
        (r"\[TRT\] Detected (\d+) inputs and (\d+) output", "kernels chosen"),
        (r"\[TRT\] \[BlockAssignment\]|\[TRT\] Total Activation Memory", "assigning memory"),
        (r"\[TRT\] Engine generation completed in ([\d.]+) seconds", "engine made in {0} s"),
        (r"\[I\] Engine built in ([\d.]+) sec", "engine built in {0} s"),
        (r"\[I\] Created engine with size: ([\d.]+) MiB", "engine of {0} MiB"),
        (r"\[I\] Engine (?:loaded|deserialized) in ([\d.]+) sec", "engine loaded"),
        (r"\[I\] Starting inference", "running"),
        (r"\[I\] Warmup completed", "measured"),
    )
)


def progress_of(line: str) -> str | None:
    """Short text for a line that tells how far trtexec is; None for all others."""
    for pattern, text in _STEPS:
        if found := pattern.search(line):
            return text.format(*found.groups())
    return None
