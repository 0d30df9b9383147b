"""Every pass on every example network, for every builder that needs no device: is it taken, and what becomes of it?

Each pass gets its defaults and a few calibration samples. Engines of both processors' runtimes run, and say how far
from float they are; engines of TensorRT-RTX are built without a GPU, and nothing is claimed of what they compute.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks.matrix.builders import BUILDERS, Question, answer, outputs
from benchmarks.matrix.cell import Cell, Results
from benchmarks.matrix.subject import NETWORKS, Subject, chosen, fitting, prepare, run
from benchmarks.matrix.tables import FLOAT, tables
from edgetool.errors import EdgetoolError


def main(arguments: Sequence[str] = ()) -> None:
    """Measure what is missing, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.matrix", description=__doc__)
    add = parser.add_argument
    add("networks", nargs="*", default=NETWORKS, metavar="NETWORK", help="examples; all by default")
    add("--results", type=Path, metavar="FILE", help="keep results here; a run that was interrupted goes on with them")
    add("--passes", nargs="+", metavar="PASS", help="measure these; all by default")
    add("--again", action="store_true", help="measure what the file of results holds already, too")
    options = parser.parse_args(arguments)
    results = Results.of(options.results)
    passes = options.passes or _passes()
    for network in options.networks:
        missing = [name for name in passes if options.again or any((network, name, b) not in results for b in BUILDERS)]
        if missing:
            _measure(network, missing, results)
    print(tables(results, options.networks, _passes()))


def _passes() -> list[str]:
    from edgetool.plugin.manager import load_plugins

    return [FLOAT, *load_plugins().passes]


def _measure(network: str, passes: Sequence[str], results: Results) -> None:
    with tempfile.TemporaryDirectory() as folder:
        subject = prepare(network, Path(folder))
        feeds = subject.samples.feeds
        float_ = Question(
            subject.model, subject.samples, feeds, outputs("onnxruntime", subject.model, feeds, Path(folder, "float"))
        )
        for name in passes:
            for builder, cell in _cells(name, subject, float_, Path(folder, name)).items():
                print(f"{network} {name} {builder}: {cell}", file=sys.stderr, flush=True)
                results[network, name, builder] = cell


def _cells(name: str, subject: Subject, float_: Question, folder: Path) -> dict[str, Cell]:
    """What every builder makes of one pass."""
    try:
        question = float_ if name == FLOAT else _question(name, subject, float_, folder)
    except EdgetoolError as error:
        return dict.fromkeys(BUILDERS, Cell("refused", reason=error.message, by=name))
    except Exception:  # noqa: BLE001 - what comes out of a pass is the finding, and the other cells wait
        return dict.fromkeys(BUILDERS, Cell("failed", reason=traceback.format_exc(), by=name))
    if question is None:
        return dict.fromkeys(BUILDERS, Cell("same"))
    return {builder: _answer(builder, question, folder.with_name(f"{name}-{builder}")) for builder in BUILDERS}


def _question(name: str, subject: Subject, float_: Question, folder: Path) -> Question | None:
    """The network after a pass; None when the pass leaves it as it is."""
    from edgetool.errors import ModelError

    one = chosen(name, subject.model)
    if refusals := [problem for problem in one.check(subject.model) if problem.severity == "refuse"]:
        raise ModelError("pass-refused", refusals[0].reason)
    result = run(one, subject.model, subject.samples, folder)
    if not result.changed:
        return None
    if name != "specialize":
        return Question(result.model, subject.samples, float_.feeds, float_.expected)
    return Question(result.model, subject.samples, [fitting(feed, result.model) for feed in float_.feeds], None)


def _answer(builder: str, question: Question, folder: Path) -> Cell:
    try:
        return answer(builder, question, folder)
    except Exception:  # noqa: BLE001 - likewise
        return Cell("failed", reason=traceback.format_exc(), by=builder)


if __name__ == "__main__":
    main(sys.argv[1:])
