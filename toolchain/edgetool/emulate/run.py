"""One engine on every processor that somebody asked for, each as a check of the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgetool.emulate.agreement import Feeding
from edgetool.emulate.cross import library_for
from edgetool.emulate.judge import Cell, judged, not_shown, stopped
from edgetool.emulate.steps import Bundled, make_feeds, run_cross, run_emulated
from edgetool.emulate.ways import CrossTested, NotShown
from edgetool.engine.stepper import Stepper
from edgetool.errors import EdgetoolError, InterruptedByUserError
from edgetool.report.document import Check


def run_cells(cells: Sequence[Cell], bundled: Bundled, stepper: Stepper, *, seconds: float) -> Iterator[Check]:
    """One after the other; what is in the cache is there at once.

    Args:
        cells: as `planned`.
        bundled: the engine.
        stepper: whose cache is asked first.
        seconds: for each of them.

    Raises:
        InterruptedByUserError: what is finished by then is in the cache.
    """
    feeding: Feeding | None = None
    for cell in cells:
        if isinstance(cell.way, NotShown):
            yield not_shown(cell, cell.way)
            continue
        try:
            feeding = feeding or make_feeds(bundled, stepper)
            yield _run(cell, bundled, feeding, stepper, seconds)
        except InterruptedByUserError:
            raise
        except EdgetoolError as error:
            yield stopped(cell, error, precision=bundled.engine.precision)


def _run(cell: Cell, bundled: Bundled, feeding: Feeding, stepper: Stepper, seconds: float) -> Check:
    way = cell.way
    assert not isinstance(way, NotShown)
    if isinstance(way, CrossTested):
        library = library_for(way, cell.processor.arch, bundled.runtime)
        if isinstance(library, NotShown):
            return not_shown(cell, library)
        ran = run_cross(cell, way, library, bundled, feeding, stepper, seconds=seconds)
    else:
        ran = run_emulated(cell, way, bundled, feeding, stepper, seconds=seconds)
    engine = bundled.engine
    return judged(cell, ran, feeding, precision=engine.precision, weight_bits=engine.site.facts.get("weight_bits"))
