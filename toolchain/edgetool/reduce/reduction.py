"""The way from a failing model to the smallest part of it that fails alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.artifact import Model
from edgetool.errors import ConfigError, ModelError, UnavailableError
from edgetool.graph import load, read_signature, save
from edgetool.graph.shapes import fix_inputs
from edgetool.reduce import shrink
from edgetool.reduce.failure import Failure
from edgetool.reduce.oracle import Oracle
from edgetool.reduce.parts import Parts, Seams
from edgetool.reduce.search import Mode, Nodes, Search

if TYPE_CHECKING:
    import onnx

Variants = Callable[["onnx.ModelProto"], Iterator["onnx.ModelProto"]]


@dataclass(frozen=True, slots=True)
class Wishes:
    """How to reduce.

    Attributes:
        mode: of the search.
        any_reason: the error code alone has to stay the same.
        seconds: after which the best so far is taken.
        blank: replace weights by constants where it still fails.
    """

    mode: Mode = "bisect"
    any_reason: bool = False
    seconds: float = 600.0
    blank: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One question that was asked, for whoever watches."""

    calls: int
    nodes: int
    fails: bool


@dataclass(frozen=True, slots=True)
class Reduction:
    """What came of it.

    Attributes:
        model: the smallest that was seen to fail.
        failure: that it was reduced for.
        nodes: how many there were, and how many are left.
        calls: how often the oracle was asked.
        seconds: that it took.
        finished: False when time ran out first, so that it may not be the smallest.
        confirmed: it still fails when a new process is asked.
        fixed: dynamic dimensions that got a fixed size.
        blanked, kept: weights that were replaced by constants, and those whose values the failure needs.
    """

    model: Model
    failure: Failure
    nodes: tuple[int, int]
    calls: int
    seconds: float
    finished: bool
    confirmed: bool
    fixed: tuple[str, ...]
    blanked: tuple[str, ...]
    kept: tuple[str, ...]


class _Judge:
    """Asks the oracle about parts and keeps count; when time is up nothing is said to fail any more.

    Attributes:
        calls: how often the oracle was asked.
        hurried: a question was left unasked for want of time.
    """

    def __init__(
        self, oracle: Oracle, wanted: Failure, wishes: Wishes, *, started: float, tell: Callable[[Attempt], None]
    ) -> None:
        self.calls = 1  # about the original
        self.hurried = False
        self._oracle = oracle
        self._wanted = wanted
        self._wishes = wishes
        self._deadline = started + wishes.seconds
        self._tell = tell

    def fails(self, make: Callable[[], Model | None], nodes: int) -> bool:
        """Whether the model that `make` writes fails as the original does; it gives None for what cannot be cut out."""
        if time.monotonic() > self._deadline:
            self.hurried = True
            return False
        model = make()
        if model is None:
            return False
        alike = self.fails_now(model)
        self._tell(Attempt(self.calls, nodes, alike))
        return alike

    def fails_now(self, model: Model, *, anew: bool = False) -> bool:
        """As `fails`, whatever the time."""
        self.calls += 1
        failures = self._oracle.ask_anew(model) if anew else self._oracle.ask(model)
        return any(one.is_like(self._wanted, any_reason=self._wishes.any_reason) for one in failures)


def reduce_model(
    model: Model,
    oracle: Oracle,
    destination: Path,
    wishes: Wishes,
    *,
    scratch: Path,
    find_seams: Callable[[Model], Seams],
    tell: Callable[[Attempt], None],
) -> Reduction:
    """Write the smallest part of `model` that fails as the whole does to `destination`.

    Args:
        model: it has to fail.
        oracle: says whether a model fails.
        destination: the .onnx file to write; weights over 1.5 GB go beside it.
        wishes: how.
        scratch: a folder for models on the way.
        find_seams: says where a model can be cut.
        tell: hears of every question.

    Raises:
        ConfigError: `nothing-to-reduce`: the model does not fail.
        UnavailableError: `fails-on-anything`: a model of one Relu fails alike.
        EdgetoolError: what an oracle raises when it cannot be asked.
    """
    started = time.monotonic()
    failures = oracle.ask_anew(model)
    if not failures:
        raise _nothing_to_reduce(
            model, "the model does not fail: it is accepted, built and, where engines run here, run"
        )
    judge = _Judge(oracle, failures[0], wishes, started=started, tell=tell)
    if judge.fails_now(_harmless(scratch)):
        raise UnavailableError(
            "fails-on-anything",
            f"it fails alike for a model of one Relu: {failures[0]}",
            where=str(model.path),
            hint="the model is not to blame: try `edgetool doctor`, or the command of --check by hand",
        )
    base, fixed = _fixed_if_it_fails(model, judge, scratch)
    parts = Parts(load(base.path, weights=False), base.path.parent, find_seams(base))
    if not parts.all:
        raise _nothing_to_reduce(model, "the model has no nodes that could be left out")
    bench = _Bench(parts, base, scratch / "part.onnx")
    search = Search(parts.all, lambda nodes: judge.fails(lambda: bench.model(parts.cut(nodes)), len(nodes)))
    search.run(wishes.mode, suspects=parts.labelled(failures[0].nodes))
    part = bench.cut(search.best)
    part = _smaller(part, shrink.with_fewer_outputs, bench, judge)
    part = _smaller(part, shrink.with_fewer_inputs, bench, judge)
    part, blanked = _blanked(part, bench, judge) if wishes.blank else (part, frozenset())
    kept = tuple(name for name in shrink.weights(part) if name in parts.weights and name not in blanked)
    signature = read_signature(part, base.signature.dims, where=str(destination))
    parts.write(part, destination)
    smallest = Model(destination, signature)
    confirmed = judge.fails_now(smallest, anew=True)
    return Reduction(
        model=smallest,
        failure=failures[0],
        nodes=(len(parts.all), len(search.best)),
        calls=judge.calls,
        seconds=time.monotonic() - started,
        finished=not judge.hurried,
        confirmed=confirmed,
        fixed=fixed,
        blanked=tuple(sorted(blanked & parts.weights)),
        kept=kept,
    )


def _nothing_to_reduce(model: Model, why: str) -> ConfigError:
    return ConfigError(
        "nothing-to-reduce",
        why,
        where=str(model.path),
        hint='name the test that it fails with --check "COMMAND {}"',
    )


@dataclass(frozen=True, slots=True)
class _Bench:
    """Where parts become files that an oracle can be asked about."""

    parts: Parts
    base: Model
    path: Path

    def cut(self, nodes: Nodes) -> onnx.ModelProto:
        """A part that was seen to fail, so that it can be cut out."""
        part = self.parts.cut(nodes)
        if part is None:
            raise RuntimeError("a part that failed cannot be cut out again")
        return part

    def fails(self, part: onnx.ModelProto, judge: _Judge) -> bool:
        return judge.fails(lambda: self.model(part), len(part.graph.node))

    def model(self, part: onnx.ModelProto | None) -> Model | None:
        """The part as a file, which the next one overwrites; None where its inputs and outputs cannot be told."""
        if part is None:
            return None
        copy = type(part)()
        copy.CopyFrom(part)
        try:
            signature = read_signature(copy, self.base.signature.dims, where=str(self.path))
        except ModelError:
            return None
        self.parts.write(copy, self.path)
        return Model(self.path, signature)


def _harmless(scratch: Path) -> Model:
    """A model of one Relu, which no backend has reason to fail on."""
    from onnx import TensorProto, helper

    given, result = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"], "relu")], "harmless", [given], [result])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = scratch / "harmless.onnx"
    signature = read_signature(proto, where=str(path))
    save(proto, path)
    return Model(path, signature)


def _fixed_if_it_fails(model: Model, judge: _Judge, scratch: Path) -> tuple[Model, tuple[str, ...]]:
    """The model with all its sizes fixed where it fails like this too, and which dimensions were fixed."""
    if not model.signature.is_dynamic:
        return model, ()
    proto = load(model.path, weights=False)
    fix_inputs(proto, model.signature.input_shapes("opt"))
    path = scratch / "fixed.onnx"
    try:
        signature = read_signature(proto, where=str(path))
    except ModelError:
        return model, ()
    nodes = len(proto.graph.node)  # saving uses the proto up
    save(proto, path, folder=model.path.parent)
    fixed = Model(path, signature)
    return (fixed, model.signature.symbols) if judge.fails(lambda: fixed, nodes) else (model, ())


def _smaller(part: onnx.ModelProto, variants: Variants, bench: _Bench, judge: _Judge) -> onnx.ModelProto:
    """The part after as many steps of one kind as it fails with."""
    while True:
        for variant in variants(part):
            if bench.fails(variant, judge):
                part = variant
                break
        else:
            return part


def _blanked(part: onnx.ModelProto, bench: _Bench, judge: _Judge) -> tuple[onnx.ModelProto, frozenset[str]]:
    """The part with as few weights of the original as it fails with, and the names of those that are gone."""
    names = shrink.weights(part)
    for variant in (shrink.with_computed_weights(part, names), shrink.with_filled_weights(part, names)):
        if names and bench.fails(variant, judge):
            return variant, frozenset(names)
    gone = []
    for name in names:
        variant = shrink.with_filled_weights(part, (name,))
        if bench.fails(variant, judge):
            part = variant
            gone.append(name)
    return part, frozenset(gone)
