"""Drafts a targets file: what `edgetool init` writes from a model and a few answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from edgetool.config.schema import SCHEMA_VERSION
from edgetool.config.tree import dotted
from edgetool.config.write import toml_value
from edgetool.signature import Signature

_BATCH = re.compile(r"(?i)n|b|bs|.*batch.*|.*_dim0")
_SYMBOL = re.compile(r"[A-Za-z_][\w.]*")


@dataclass(frozen=True, slots=True)
class DraftTarget:
    """A target to write.

    Attributes:
        name: of the target.
        extends: `@vendor/board`, or None.
        backend: name of the backend; None leaves it to the board.
        stands_in_for: a target that cannot be built where CI runs.
    """

    name: str
    extends: str | None = None
    backend: str | None = None
    stands_in_for: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything that is known when a targets file is begun.

    Attributes:
        source: as it is to stand in the file, or None.
        signature: of the model where it could be read.
        targets: at least one.
        calibration: where samples come from, or None.
        evaluation: where labelled samples come from, or None.
        metric: how the result is judged, or None.
    """

    source: str | None
    signature: Signature | None
    targets: tuple[DraftTarget, ...]
    calibration: str | None = None
    evaluation: str | None = None
    metric: str | None = None

    @property
    def recipe(self) -> str:
        """int8 needs samples to calibrate with; without them the model stays float."""
        return "int8" if self.calibration else "float"

    @property
    def name(self) -> str:
        """The source's name, made fit for file names."""
        stem = PurePath((self.source or "model").split(":")[0]).stem
        return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("._-")[:80] or "model"


def render(draft: Draft) -> str:
    """The text of the file; it loads without mistakes."""
    sections = [
        [f"schema = {SCHEMA_VERSION}"],
        list(_model(draft)),
        list(_data(draft)),
        list(_recipes(draft)),
        *(list(_target(draft, target)) for target in draft.targets),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _model(draft: Draft) -> Iterator[str]:
    yield "[model]"
    yield f"name = {toml_value(draft.name)}"
    yield 'version = "0.1.0"'
    yield f"source = {toml_value(draft.source)}" if draft.source else '# source = "model.onnx"'
    signature = draft.signature
    if signature is None:
        yield "# [model.inputs.NAME]  # where the source does not tell: one table an input"
        yield '# shape = ["batch", 3, 224, 224]'
        yield '# dtype = "float32"'
        return
    for spec in signature.inputs:
        yield f"[{dotted(('model', 'inputs', spec.name))}]"
        yield f"shape = {toml_value(spec.shape)}"
        yield f"dtype = {toml_value(spec.dtype)}"
    for symbol in signature.symbols:
        # A size that is computed from others ("2*batch") has no range of its own.
        if _SYMBOL.fullmatch(symbol):
            yield f"[{dotted(('model', 'dims', symbol))}]  # a guess: write the sizes that your application sends"
            yield from ("min = 1", "max = 8") if _BATCH.fullmatch(symbol) else ("min = 16", "opt = 64", "max = 128")


def _data(draft: Draft) -> Iterator[str]:
    yield "[data]  # real samples; docs/reference/targets-toml.md lists the forms"
    yield (
        f"calibration = {toml_value(draft.calibration)}"
        if draft.calibration
        else '# calibration = "data/calib/"  # needed for int8'
    )
    yield f"evaluation = {toml_value(draft.evaluation)}" if draft.evaluation else '# evaluation = "data/eval.npz"'
    yield f"metric = {toml_value(draft.metric)}" if draft.metric else '# metric = "top1"'


def _recipes(draft: Draft) -> Iterator[str]:
    mark = "" if draft.recipe == "int8" else "# "
    yield "[recipes.float]"
    yield 'passes = [{ use = "simplify" }]'
    yield ""
    yield f"{mark}[recipes.int8]"
    yield f'{mark}passes = [{{ use = "simplify" }}, {{ use = "quantize-static" }}]'


def _target(draft: Draft, target: DraftTarget) -> Iterator[str]:
    table = dotted(("targets", target.name))
    yield f"[{table}]"
    if target.extends:
        yield f"extends = {toml_value(target.extends)}"
    if target.backend:
        yield f"backend = {toml_value(target.backend)}"
    if target.stands_in_for:
        yield f"stands_in_for = {toml_value([target.stands_in_for])}  # what CI builds, where that cannot be built"
    yield f"recipe = {toml_value(draft.recipe)}"
    yield f"[{table}.budget]  # a missed limit fails the build"
    if draft.evaluation and draft.metric:
        yield 'max_drop = "1%"'
    yield "min_cosine = 0.99"
    yield '# latency_p99 = "12ms"'
    yield '# size = "20MiB"'
