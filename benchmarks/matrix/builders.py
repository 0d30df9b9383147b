"""What the builders make of a network: both processors' runtimes run it, TensorRT-RTX only builds it, without a GPU."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.matrix.cell import Cell
from benchmarks.matrix.subject import make, run
from edgetool.artifact import Model
from edgetool.backends import HERE, Site
from edgetool.backends.base import AnyBackend, Backend
from edgetool.context import BuildContext
from edgetool.errors import EdgetoolError, ModelError
from edgetool.runner import Feeds
from edgetool.testing.samples import GivenSamples

RTX = "rtx"
RUNTIMES = ("onnxruntime", "openvino")
BUILDERS = (*RUNTIMES, RTX)
_CAPABILITY = 86
"""GeForce RTX 30: the weakest that has every type but float8 and float4."""
_PATIENCE = 60.0
"""Seconds after which an RTX build is given up."""


@dataclass(frozen=True)
class Question:
    """A network that builders are asked about.

    Attributes:
        model: what a pass made.
        samples: of the float network: for the pass that a backend may ask for.
        feeds: that fit the model.
        expected: outputs of the float network for them; None where float cannot tell.
    """

    model: Model
    samples: GivenSamples
    feeds: Sequence[Feeds]
    expected: Sequence[Feeds] | None


class _TooLongError(Exception):
    """The build was given up."""


def answer(builder: str, question: Question, folder: Path) -> Cell:
    """Ask one builder, as `edgetool build` does: its verdict, the pass that would cure a refusal, its engine."""
    folder.mkdir()
    backend = _backend("tensorrt", Site(RTX, facts={"sm": _CAPABILITY})) if builder == RTX else _backend(builder)
    try:
        model, cured = _accepted(backend, question, folder)
        return (_built if builder == RTX else _ran)(backend, model, question, folder / "engine", cured)
    except EdgetoolError as error:
        return Cell("refused", reason=error.message, by=builder)


def outputs(builder: str, model: Model, feeds: Sequence[Feeds], folder: Path) -> list[Feeds]:
    """What an engine of a runtime computes; `folder` is made."""
    return _outputs(_backend(builder), model, feeds, folder)


def _outputs(backend: AnyBackend, model: Model, feeds: Sequence[Feeds], folder: Path) -> list[Feeds]:
    folder.mkdir()
    context = BuildContext(threads=1)
    with backend.open(backend.build(model, folder, context), context) as runner:
        return [{name: np.array(values) for name, values in runner.infer(feed).items()} for feed in feeds]


def _backend(name: str, site: Site = HERE) -> AnyBackend:
    from edgetool.plugin.loading import load_class
    from edgetool.plugin.manager import load_plugins

    kind = load_class(load_plugins().backend(name, where="the matrix"), Backend)
    subject: AnyBackend = kind(kind.Options(), site)
    return subject


def _accepted(backend: AnyBackend, question: Question, folder: Path) -> tuple[Model, str]:
    """The model that the backend takes, and the pass that it asked for.

    Raises:
        EdgetoolError: it takes none.
    """
    context = BuildContext(threads=1)
    model, cured = question.model, ""
    support = backend.supports(model, context)
    if not support.accepted and support.legalize:
        cured = support.legalize.use
        model = run(make(cured, support.legalize.options), model, question.samples, folder / "cured").model
        support = backend.supports(model, context)
    for problem in support.problems:
        if problem.severity == "refuse":  # the first says enough
            raise ModelError("model-refused", "; ".join(filter(None, (problem.reason, problem.fix))))
    return model, cured


def _ran(backend: AnyBackend, model: Model, question: Question, folder: Path, cured: str) -> Cell:
    found = _outputs(backend, model, question.feeds, folder)
    if any(not np.isfinite(values).all() for output in found for values in output.values()):
        return Cell("failed", reason="its outputs are not finite", cured=cured)
    cosine = None if question.expected is None else _cosine(question.expected, found)
    return Cell("ran", cosine=cosine, cured=cured)


def _built(backend: AnyBackend, model: Model, question: Question, folder: Path, cured: str) -> Cell:
    folder.mkdir()
    started = time.perf_counter()

    def progress(done: int, total: int, what: str) -> None:
        if time.perf_counter() - started > _PATIENCE:
            raise _TooLongError

    try:
        engine = backend.build(model, folder, BuildContext(threads=1, progress=progress))
    except _TooLongError:
        return Cell("parsed", seconds=round(time.perf_counter() - started, 1), cured=cured)
    return Cell("built", size=engine.path.stat().st_size, seconds=round(time.perf_counter() - started, 1), cured=cured)


def _cosine(expected: Sequence[Feeds], found: Sequence[Feeds]) -> float:
    """The smallest over the outputs."""
    least = 1.0
    for name in expected[0]:
        one, other = (
            np.concatenate([row[name].ravel().astype(np.float64) for row in rows]) for rows in (expected, found)
        )
        least = min(least, float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-12)))
    return least
