"""Which processors an engine is to be tried on, and how each is shown here."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from edgetool.emulate.judge import Cell
from edgetool.emulate.processors import Processor, levels
from edgetool.emulate.ways import Machine, NotShown, Subject, way_to
from edgetool.engine.desk import EngineFile
from edgetool.host import instruction_sets


@dataclass(frozen=True, slots=True)
class Emulation:
    """What somebody asked for.

    Attributes:
        sweep: every level of instruction sets.
        processors: those that were named.
    """

    sweep: bool
    processors: tuple[Processor, ...]

    def __bool__(self) -> bool:
        return self.sweep or bool(self.processors)


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
