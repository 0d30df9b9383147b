"""The numbers that compression has to reach, each measured through the real passes, backends and bundles."""

from __future__ import annotations

from benchmarks.compression.command import main

__all__ = ["main"]
