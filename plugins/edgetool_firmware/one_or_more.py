"""Options that are lists, of which most users give one: `--option yocto.machines=raspberrypi5`."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BeforeValidator

T = TypeVar("T")


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


OneOrMore = Annotated[list[T], BeforeValidator(_listed)]
