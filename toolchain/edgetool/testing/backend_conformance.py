"""The promises of `edgetool.backends.Backend`, as tests to inherit."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from edgetool.artifact import Engine, Facts, Model
from edgetool.backends.base import AnyBackend, Availability, Evidence, Site
from edgetool.bundle.verify import path_fault
from edgetool.context import BuildContext
from edgetool.errors import EdgetoolError
from edgetool.graph import load
from edgetool.graph.walk import graphs
from edgetool.runner import Runner
from edgetool.signature import Point
from edgetool.testing.interpreter import open_with_interpreter
from edgetool.testing.models import MakeModel, foreign_operator, tiny_branches, tiny_cnn, tiny_lstm, tiny_mlp, tiny_text
from edgetool.testing.promises import (
    check_agreement,
    check_facts,
    check_light,
    check_options,
    check_problems,
    folder_digests,
)
from edgetool.testing.samples import feeds_for

if TYPE_CHECKING:
    import numpy as np

_PRECISIONS = ("float32", "float16", "bfloat16", "int8", "mixed")
_POINTS: tuple[Point, ...] = ("min", "opt", "max")


@dataclass(frozen=True)
class Built:
    """An engine, and the model it was built from."""

    model: Model
    engine: Engine


class BackendConformance:
    """Inherit, say which backend, and pytest runs the rest.

    Example:
        class TestTvm(BackendConformance):
            backend = Tvm
            options = {"target": "llvm"}

    Class attributes:
        backend: the backend.
        options: of the backend, as targets.toml would give them.
        models: it builds and runs these.
        refused: `supports` refuses these, with a reason and node names.
        min_cosine: how close an engine computes to the model, at the smallest, usual and largest shape.
        facts: of the target.
        needs_device: False skips the tests that build or run where `probe` says that this machine cannot; True, the
            default, makes them fail there, so that a test run without the backend is not mistaken for a pass.
    """

    backend: ClassVar[type[AnyBackend]]
    options: ClassVar[Mapping[str, Any]] = {}
    models: ClassVar[tuple[MakeModel, ...]] = (tiny_mlp, tiny_cnn, tiny_lstm, tiny_branches, tiny_text)
    refused: ClassVar[tuple[MakeModel, ...]] = (foreign_operator,)
    min_cosine: ClassVar[float] = 0.9999
    facts: ClassVar[Facts] = {}
    needs_device: ClassVar[bool] = True

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

    @pytest.fixture
    def built(self, model: Model, tmp_path: Path) -> Built:
        self._need(self.subject().probe().can_build, "build")
        return Built(model, self.build(model, tmp_path / "engine"))

    @pytest.fixture
    def first(self, tmp_path: Path) -> Built:
        """An engine of the first model, for promises that do not depend on the model."""
        self._need(self.subject().probe().can_build, "build")
        folder = tmp_path / "input"
        folder.mkdir()
        model = self.models[0](folder)
        return Built(model, self.build(model, tmp_path / "engine"))

    def subject(self) -> AnyBackend:
        """The backend with its options."""
        return self.backend(self.backend.Options(**self.options), Site(facts=self.facts))

    def context(self) -> BuildContext:
        """What the framework would lend it."""
        return BuildContext(threads=1)

    def build(self, model: Model, directory: Path) -> Engine:
        """Build as the framework does, into a new empty folder."""
        directory.mkdir()
        return self.subject().build(model, directory, self.context())

    def open(self, engine: Engine) -> Runner:
        """Open the engine; needs the device."""
        self._need(self.subject().probe().can_run, "run")
        return self.subject().open(engine, self.context())

    def test_probe_tells_what_is_here(self) -> None:
        found = self.subject().probe()
        assert isinstance(found, Availability)
        if not (found.can_build and found.can_run):
            assert found.why_not, "probe says no without `why_not`"
            assert found.fix, "probe says no without `fix`"

    def test_probe_imports_nothing_heavy(self) -> None:
        check_light(self.backend, self.options, "subject.probe(); kind.tools()")

    def test_tools_are_distributions(self) -> None:
        names = self.backend.tools()
        assert names, "name at least one distribution, or the cache cannot see an update"
        if self.subject().probe().can_build:
            for name in names:
                assert importlib.metadata.version(name)

    def test_options_are_closed_documented_frozen(self) -> None:
        check_options(self.backend, self.options)

    def test_supports_covers_every_node(self, model: Model) -> None:
        self._need(self.subject().probe().can_build, "build")
        before = folder_digests(model.path.parent)
        support = self.subject().supports(model, self.context())
        check_problems(support.problems, model.path)
        refusals = [str(problem) for problem in support.problems if problem.severity == "refuse"]
        assert support.accepted, f"`models` names a model that the backend refuses: {refusals}"
        nodes = Counter(node.op_type for graph in graphs(load(model.path, weights=False).graph) for node in graph.node)
        assert Counter(row.op_type for row in support.placements) == nodes, "one placement a node, subgraphs included"
        assert support.accelerator
        nowhere = [row.node for row in support.placements if row.device is None]
        assert not nowhere, f"accepted, but nobody runs {nowhere}"
        silent = [row.node for row in support.off_accelerator if not row.reason]
        assert not silent, f"off the accelerator without a reason: {silent}"
        assert folder_digests(model.path.parent) == before, "supports() changed the model's folder"

    def test_refusals_are_data(self, make_refused: MakeModel, tmp_path: Path) -> None:
        self._need(self.subject().probe().can_build, "build")
        model = make_refused(tmp_path)
        support = self.subject().supports(model, self.context())
        check_problems(support.problems, model.path)
        assert not support.accepted, "supports() accepts this model"
        assert any(problem.nodes for problem in support.problems), "the refusal names no node"
        assert any(row.device is None and row.reason for row in support.placements)

    def test_build_writes_into_its_directory_only(
        self, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._need(self.subject().probe().can_build, "build")
        for name in ("cwd", "tmp"):
            (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / "cwd")
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
        before = folder_digests(model.path.parent)
        directory = tmp_path / "engine"
        engine = self.build(model, directory)
        assert engine.directory == directory
        assert engine.path.is_file(), "the engine's entry is not a file"
        assert folder_digests(model.path.parent) == before, "build() changed the model's folder"
        assert not any((tmp_path / "cwd").iterdir()), "build() wrote into the working directory"
        assert not any((tmp_path / "tmp").iterdir()), "build() left temporary files behind"
        hidden = [path.name for path in directory.iterdir() if path.name.startswith(".") or path.is_symlink()]
        assert not hidden, f"an engine's directory holds plain files only, not {hidden}"

    def test_engine_describes_itself(self, built: Built) -> None:
        engine = built.engine
        assert engine.precision in _PRECISIONS
        assert [spec.name for spec in engine.signature.inputs] == [s.name for s in built.model.signature.inputs]
        assert [spec.name for spec in engine.signature.outputs] == [s.name for s in built.model.signature.outputs]
        check_facts(engine.facts)
        for lowering in engine.lowerings:
            assert lowering.name, "a lowering without a name"
            assert lowering.summary, "a lowering without a summary"
            assert lowering.count > 0, f"{lowering.name} touched nothing: leave it out"

    def test_device_sources_are_whole(self, first: Built) -> None:
        own = self.subject().device_sources(first.engine)
        if own is None:
            pytest.skip("the backend has no self-test for devices")
        assert own == self.subject().device_sources(first.engine), "device_sources() differs from call to call"
        assert own.runtime, "device_sources() names no runtime"
        assert "runtime.cmake" in own.files, "runtime.cmake says how the sources are compiled"
        assert any(name.endswith((".c", ".cpp")) for name in own.files), "there is nothing to compile"
        assert not [name for name in own.files if path_fault(name) or "/" in name], "plain file names only"

    def test_same_model_gives_same_bytes(self, built: Built, tmp_path: Path) -> None:
        if not self.backend.deterministic:
            pytest.skip("the backend does not promise it")
        again = self.build(built.model, tmp_path / "again")
        assert folder_digests(again.directory) == folder_digests(built.engine.directory)

    def test_agrees_with_the_reference_at_every_shape(self, built: Built) -> None:
        with open_with_interpreter(built.model.path) as reference, self.open(built.engine) as runner:
            assert [spec.name for spec in runner.signature.inputs] == [s.name for s in built.engine.signature.inputs]
            for point in _POINTS:
                feeds = feeds_for(built.engine.signature, point, seed=7)
                kept = {name: array.copy() for name, array in feeds.items()}
                result = runner.infer(feeds)
                check_agreement(
                    reference.infer(feeds), result, min_cosine=self.min_cosine, what=f"at the {point} shape"
                )
                for spec in built.engine.signature.outputs:
                    assert result[spec.name].dtype.name == spec.dtype or spec.dtype == "string"
                for name, array in kept.items():
                    assert (feeds[name] == array).all(), f"infer() changed the feed {name}"

    def test_results_are_not_overwritten(self, first: Built) -> None:
        with self.open(first.engine) as runner:
            result = runner.infer(feeds_for(first.engine.signature, seed=1))
            kept = {name: array.copy() for name, array in result.items()}
            runner.infer(feeds_for(first.engine.signature, seed=2))
            for name, array in kept.items():
                assert (result[name] == array).all(), f"the second infer() changed the first one's {name}"

    @pytest.mark.parametrize("spoil", ["missing", "extra", "dtype", "rank", "not an array"])
    def test_wrong_feeds_are_errors(self, first: Built, spoil: str) -> None:
        signature = first.engine.signature
        with self.open(first.engine) as runner:
            with pytest.raises(EdgetoolError) as caught:
                runner.infer(_spoiled(feeds_for(signature), spoil))
            assert caught.value.exit_code != 1, "exit code 1 is for bugs of edgetool"
            assert runner.infer(feeds_for(signature)), "the runner is of no use after an error"

    def test_closing_twice_is_harmless(self, first: Built) -> None:
        runner = self.open(first.engine)
        runner.close()
        runner.close()

    def test_engine_can_be_moved(self, first: Built, tmp_path: Path) -> None:
        shutil.rmtree(first.model.path.parent)
        moved = tmp_path / "elsewhere" / "moved engine"
        moved.parent.mkdir()
        shutil.move(first.engine.directory, moved)
        with self.open(replace(first.engine, directory=moved)) as runner:
            assert runner.infer(feeds_for(first.engine.signature))

    def test_opening_leaves_the_engine_untouched(self, first: Built) -> None:
        before = folder_digests(first.engine.directory)
        with self.open(first.engine) as runner:
            runner.infer(feeds_for(first.engine.signature))
        self.subject().evidence(first.engine, self.context())
        assert folder_digests(first.engine.directory) == before, "an engine's bytes are final once it is built"

    def test_missing_engine_is_an_error(self, first: Built) -> None:
        first.engine.path.unlink()
        with pytest.raises(EdgetoolError):
            self.open(first.engine)

    def test_evidence_is_well_formed(self, built: Built) -> None:
        self._need(self.subject().probe().can_run, "run")
        evidence = self.subject().evidence(built.engine, self.context())
        assert isinstance(evidence, Evidence)
        for row in evidence.nodes:
            assert all((row.name, row.op_type, row.precision, row.device)), f"{row} leaves something out"
        assert all(isinstance(name, str) and name for name in evidence.unfused)

    def _need(self, here: bool, what: str) -> None:
        if here:
            return
        found = self.subject().probe()
        reason = f"this machine cannot {what} with {self.backend.__name__}: {found.why_not} ({found.fix})"
        if self.needs_device:
            pytest.fail(reason)
        pytest.skip(reason)


def _spoiled(feeds: Mapping[str, np.ndarray[Any, Any]], how: str) -> dict[str, Any]:
    name = next(iter(feeds))
    array = feeds[name]
    spoilers: dict[str, Callable[[], dict[str, Any]]] = {
        "missing": lambda: {key: value for key, value in feeds.items() if key != name},
        "extra": lambda: {**feeds, "no_such_input": array},
        "dtype": lambda: {**feeds, name: array.astype("complex64")},
        "rank": lambda: {**feeds, name: array[None]},
        "not an array": lambda: {**feeds, name: array.tolist()},
    }
    return spoilers[how]()
