"""Readers and writers of records as JSON, each built once: that takes longer than most requests."""

from __future__ import annotations

import functools
from typing import Any

import pydantic


def adapter(kind: type[Any]) -> pydantic.TypeAdapter[Any]:
    """For a dataclass that crosses a process boundary."""
    return _build(kind)  # type: ignore[arg-type] # mypy takes classes for unhashable


@functools.cache
def _build(kind: type[Any]) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(kind)
