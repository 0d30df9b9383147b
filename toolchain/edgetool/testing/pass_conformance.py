"""The promises of `edgetool.passes.Pass`, as tests to inherit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from edgetool.artifact import Model
from edgetool.context import PassContext
from edgetool.graph import digest, read_model
from edgetool.passes.base import AnyPass, PassResult
from edgetool.runner import Runner
from edgetool.signature import Point, Signature
from edgetool.testing.interpreter import open_with_interpreter
from edgetool.testing.models import MakeModel, tiny_cnn, tiny_lstm, tiny_mlp
from edgetool.testing.promises import (
    check_agreement,
    check_facts,
    check_light,
    check_options,
    check_problems,
    folder_digests,
)
from edgetool.testing.samples import Samples, feeds_for


class PassConformance:
    """Inherit, say which pass, and pytest runs the rest.

    Example:
        class TestSimplify(PassConformance):
            pass_class = Simplify
            models = (tiny_cnn, tiny_lstm)

    Class attributes:
        pass_class: the pass.
        options: of the pass, as targets.toml would give them.
        models: it applies to these.
        refused: it refuses these in `check`.
        min_cosine: how close its result computes to its input; None when it is meant to compute something else.
        samples: how many calibration feeds it gets; 0 for none.
    """

    pass_class: ClassVar[type[AnyPass]]
    options: ClassVar[Mapping[str, Any]] = {}
    models: ClassVar[tuple[MakeModel, ...]] = (tiny_mlp, tiny_cnn, tiny_lstm)
    refused: ClassVar[tuple[MakeModel, ...]] = ()
    min_cosine: ClassVar[float | None] = 0.9999
    samples: ClassVar[int] = 4

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test for each model."""
        for name, makers in (("make_model", self.models), ("make_refused", self.refused)):
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, makers, ids=[maker.__name__ for maker in makers])

    @pytest.fixture
    def model(self, make_model: MakeModel, tmp_path: Path) -> Model:
        folder = tmp_path / "input"
        folder.mkdir()
        return make_model(folder)

    def subject(self) -> AnyPass:
        """The pass with its options."""
        return self.pass_class(self.pass_class.Options(**self.options))

    def open_reference(self, path: Path) -> Runner:
        """Opens ONNX files for calibration: onnx's own evaluator, unless a test replaces it by a faster runtime."""
        return open_with_interpreter(path)

    def apply(self, model: Model, workdir: Path) -> PassResult:
        """Apply the pass as the framework does, into a new empty folder."""
        workdir.mkdir()
        samples = Samples(model.signature, self.samples) if self.samples else None
        context = PassContext(threads=1, open_reference=self.open_reference, calibration=samples)
        return self.subject().apply(model, workdir, context)

    def test_input_is_untouched(self, model: Model, tmp_path: Path) -> None:
        before = folder_digests(model.path.parent)
        self.apply(model, tmp_path / "out")
        assert folder_digests(model.path.parent) == before, "the pass changed its input's folder"

    def test_changed_is_truthful(self, model: Model, tmp_path: Path) -> None:
        result = self.apply(model, tmp_path / "out")
        if not result.changed:
            assert result.model == model, "changed=False promises that the model is the input model itself"
            return
        assert result.model.path.parent == tmp_path / "out", "the new model belongs into the work directory"
        assert digest(result.model.path) != digest(model.path), "changed=True, but the bytes are the input's"

    def test_signature(self, model: Model, tmp_path: Path) -> None:
        result = self.apply(model, tmp_path / "out").model
        written = read_model(result.path, result.signature.dims).signature
        assert written == result.signature, "the signature that the pass returns is not the one in its file"
        if not self.pass_class.changes_signature:
            assert _kept(model.signature, written), f"{model.signature} became {written}; declare changes_signature"

    def test_result_is_valid_onnx(self, model: Model, tmp_path: Path) -> None:
        import onnx

        onnx.checker.check_model(str(self.apply(model, tmp_path / "out").model.path), full_check=True)

    def test_result_computes_the_same(self, model: Model, tmp_path: Path) -> None:
        if self.min_cosine is None:
            pytest.skip("this pass is meant to compute something else")
        result = self.apply(model, tmp_path / "out").model
        self._agree(model, result, min_cosine=self.min_cosine)

    def test_same_input_gives_same_bytes(self, model: Model, tmp_path: Path) -> None:
        first, second = (self.apply(model, tmp_path / name) for name in ("first", "second"))
        assert digest(first.model.path) == digest(second.model.path), "two runs gave different bytes"
        assert (first.changed, dict(first.facts)) == (second.changed, dict(second.facts))

    def test_applying_twice_is_sane(self, model: Model, tmp_path: Path) -> None:
        once = self.apply(model, tmp_path / "once").model
        problems = self.subject().check(once)
        check_problems(problems, once.path)
        if any(problem.severity == "refuse" for problem in problems):
            return
        twice = self.apply(once, tmp_path / "twice").model
        if self.min_cosine is not None:
            self._agree(once, twice, min_cosine=self.min_cosine)

    def test_facts_are_json(self, model: Model, tmp_path: Path) -> None:
        check_facts(self.apply(model, tmp_path / "out").facts)

    def test_applicable_models_are_not_refused(self, model: Model) -> None:
        problems = self.subject().check(model)
        check_problems(problems, model.path)
        refusals = [str(problem) for problem in problems if problem.severity == "refuse"]
        assert not refusals, f"`models` names a model that the pass refuses: {refusals}"

    def test_refusals_are_data(self, make_refused: MakeModel, tmp_path: Path) -> None:
        model = make_refused(tmp_path)
        problems = self.subject().check(model)
        check_problems(problems, model.path)
        assert any(problem.severity == "refuse" for problem in problems), "check() lets this model pass"

    def test_options_are_closed_documented_frozen(self) -> None:
        check_options(self.pass_class, self.options)

    def test_planning_imports_nothing_heavy(self) -> None:
        check_light(self.pass_class, self.options, "kind.wants_calibration(subject.options)")

    def test_revision_is_a_number(self) -> None:
        assert isinstance(self.pass_class.revision, int)
        assert self.pass_class.revision >= 1

    def _agree(self, before: Model, after: Model, *, min_cosine: float) -> None:
        points: tuple[Point, ...] = ("min", "opt", "max")
        with open_with_interpreter(before.path) as expected, open_with_interpreter(after.path) as actual:
            for point in points:
                feeds = feeds_for(after.signature, point, seed=7)
                check_agreement(
                    expected.infer(feeds), actual.infer(feeds), min_cosine=min_cosine, what=f"at the {point} shape"
                )


def _kept(before: Signature, after: Signature) -> bool:
    """Inputs are equal; outputs keep name, dtype and rank, and may only be known better than before."""
    return before.inputs == after.inputs and [(spec.name, spec.dtype, len(spec.shape)) for spec in before.outputs] == [
        (spec.name, spec.dtype, len(spec.shape)) for spec in after.outputs
    ]
