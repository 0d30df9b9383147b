"""Does it fit? What the model needs against what the target has, from the graph alone: no device is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgetool.artifact import Facts, JsonValue
from edgetool.config.units import format_bytes
from edgetool.validate.findings import Finding

Need = Facts
"""`MemoryNeed.to_json`, as the child process gave it."""


@dataclass(frozen=True, slots=True)
class Fit:
    """One memory of the target.

    Attributes:
        name: `ram`, `flash` or `vram`, as in the target's facts.
        limit: bytes that there are.
        need: bytes that are needed at least.
        parts: what the need consists of, for people.
    """

    name: str
    limit: int
    need: int
    parts: str

    @property
    def fits(self) -> bool:
        return self.need <= self.limit

    @property
    def finding(self) -> Finding | None:
        """A failure where it does not fit: what is computed here is a floor, the device needs more."""
        if self.fits:
            return None
        return Finding(
            "failure",
            "does-not-fit",
            f"needs at least {format_bytes(self.need)} ({self.parts}), the target has {format_bytes(self.limit)}",
            self.name,
        )

    def to_json(self) -> dict[str, JsonValue]:
        return {"name": self.name, "limit": self.limit, "need": self.need, "parts": self.parts, "fits": self.fits}


def fits(facts: Facts, need: Need | None, engine: Facts, *, size: int) -> tuple[Fit, ...]:
    """One row for each memory that the target's facts name.

    Args:
        facts: of the target: `ram`, `flash`, `vram` in bytes.
        need: of the model that the engine was built from; None where it is not known.
        engine: the engine's own facts; `flash` and `ram` of a linked image outweigh the estimates.
        size: bytes of the engine's files.
    """
    return tuple(_fits(facts, need, engine, size))


def _fits(facts: Facts, need: Need | None, engine: Facts, size: int) -> Iterator[Fit]:
    flash, ram, vram = (facts.get(name) for name in ("flash", "ram", "vram"))
    if isinstance(flash, int):
        linked = engine.get("flash")
        if isinstance(linked, int):
            yield Fit("flash", flash, linked, "the linked image")
        else:
            yield Fit("flash", flash, size, "the engine's files")
    linked = engine.get("ram")
    if isinstance(ram, int) and isinstance(linked, int):
        yield Fit("ram", ram, linked, "data and stack of the linked image")
    elif need is not None:
        for name, limit in (("ram", ram), ("vram", vram)):
            if isinstance(limit, int):
                yield Fit(name, limit, *_at_run_time(need))


def _at_run_time(need: Need) -> tuple[int, str]:
    weights, activations = need["weights"], need["activations"]
    assert isinstance(weights, int)
    if not isinstance(activations, int):
        return weights, f"weights {format_bytes(weights)}; activations of unknown size come on top"
    return weights + activations, f"weights {format_bytes(weights)}, activations {format_bytes(activations)}"
