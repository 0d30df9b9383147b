"""Which processors an engine is to be tried on, and how each is shown here."""

from __future__ import annotations

import platform
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from edgetool.emulate.judge import Cell
from edgetool.emulate.processors import Processor, levels, named
from edgetool.emulate.ways import Machine, NotShown, Subject, way_to
from edgetool.engine.requests import EngineFile
from edgetool.errors import ConfigError
from edgetool.host import instruction_sets


@dataclass(frozen=True, slots=True)
class Emulation:
    """What one engine is tried on.

    Attributes:
        sweep: every level of instruction sets.
        processors: those that were named.
    """

    sweep: bool
    processors: tuple[Processor, ...]

    def __bool__(self) -> bool:
        return self.sweep or bool(self.processors)


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asked for.

    Attributes:
        sweep: every engine on every level of instruction sets.
        rows: processors, each for the target of that name; for all of them if None.
    """

    sweep: bool
    rows: tuple[tuple[str | None, Processor], ...]

    def __bool__(self) -> bool:
        return self.sweep or bool(self.rows)

    def of(self, target: str) -> Emulation:
        """What of it is meant for a target; each processor once."""
        meant = [processor for name, processor in self.rows if name in (None, target)]
        return Emulation(self.sweep, tuple(dict.fromkeys(meant)))

    def require_targets(self, known: Collection[str]) -> None:
        """Raise ConfigError for a target that there is none of."""
        for name, _ in self.rows:
            if name is not None and name not in known:
                raise ConfigError(
                    "unknown-target",
                    f"there is no target {name!r}",
                    where="--emulate",
                    hint=f"validated are {', '.join(dict.fromkeys(known))}",
                )


def wish_of(texts: Sequence[str], *, sweep: bool) -> Wish:
    """Of `CPU`, `CPU,CPU` and `TARGET=CPU,CPU`. Raises ConfigError: `unknown-processor`."""
    rows: list[tuple[str | None, Processor]] = []
    for text in texts:
        target, equals, names = text.rpartition("=")
        rows += [(target.strip() if equals else None, processor) for processor in named([names])]
    return Wish(sweep, tuple(rows))


def planned(emulation: Emulation, subject: Subject, machine: Machine) -> tuple[Cell, ...]:
    """The sweep prefers masks, which are quick; whoever names a processor gets all of it where that can be had."""
    swept = levels() if emulation.sweep else ()
    return (
        *(Cell(row, way_to(row, subject, machine, masking=True), True) for row in swept),
        *(Cell(row, way_to(row, subject, machine, masking=False), False) for row in emulation.processors),
    )


def none_shown(emulation: Emulation, way: NotShown) -> tuple[Cell, ...]:
    """The same cells for an engine that does not even open here."""
    swept = levels() if emulation.sweep else ()
    return (*(Cell(row, way, True) for row in swept), *(Cell(row, way, False) for row in emulation.processors))


def subject_of(engine: EngineFile) -> Subject:
    """What its backend says of it."""
    plugin = engine.plugin()
    sources = plugin.device_sources(engine.engine())
    return Subject(engine.backend, plugin.on_processor(), plugin.isa_variable, sources.runtime if sources else None)


def this_machine() -> Machine:
    return Machine(platform.machine(), instruction_sets())
