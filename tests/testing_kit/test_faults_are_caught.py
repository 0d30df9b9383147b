"""A plugin that breaks one promise fails exactly the test of that promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BACKENDS = '''
import json
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from edgetool.backends.base import Availability, BackendOptions, Evidence, NodeEvidence, Support
from edgetool.problem import Problem
from edgetool.testing import BackendConformance, Interpreter, tiny_mlp


class Quiet(BackendConformance):
    __test__ = False
    test_probe_imports_nothing_heavy = None  # starts an interpreter each time
    models = (tiny_mlp,)


class Undocumented(Interpreter):
    class Options(BackendOptions):
        refuse: list[str] = []


class TestUndocumented(Quiet):
    __test__ = True
    backend = Undocumented


class Open(Interpreter):
    class Options(BackendOptions):
        model_config = {"extra": "allow"}
        refuse: list[str] = Field(default=[], description="Operators to refuse.")


class TestOpen(Quiet):
    __test__ = True
    backend = Open


class Forgetful(Interpreter):
    """Leaves a node out of its verdict."""

    def supports(self, model, context):
        verdict = super().supports(model, context)
        return replace(verdict, placements=verdict.placements[1:])


class TestForgetful(Quiet):
    __test__ = True
    backend = Forgetful


class Speechless(Interpreter):
    """Refuses without a reason."""

    def supports(self, model, context):
        verdict = super().supports(model, context)
        return replace(verdict, problems=tuple(Problem(" ") for _ in verdict.problems))


class TestSpeechless(Quiet):
    __test__ = True
    backend = Speechless


class Meddler(Interpreter):
    """Writes into the model's folder."""

    def build(self, model, directory, context):
        (model.path.parent / "cache.json").write_text("{}")
        return super().build(model, directory, context)


class TestMeddler(Quiet):
    __test__ = True
    backend = Meddler


class Clock(Interpreter):
    """Writes something else each time."""

    def build(self, model, directory, context):
        import time

        (directory / "built.txt").write_text(str(time.time_ns()))
        return super().build(model, directory, context)


class TestClock(Quiet):
    __test__ = True
    backend = Clock


class Rooted(Interpreter):
    """Remembers where the engine lay when it was built."""

    def build(self, model, directory, context):
        engine = super().build(model, directory, context)
        (directory / "where.json").write_text(json.dumps(str(engine.path)))
        return engine

    def open(self, engine, context):
        if json.loads((engine.directory / "where.json").read_text()) != str(engine.path):
            raise FileNotFoundError("moved")
        return super().open(engine, context)


class TestRooted(Quiet):
    __test__ = True
    backend = Rooted


class Drifting(Interpreter):
    """Computes something else."""

    def open(self, engine, context):
        runner = super().open(engine, context)
        infer = runner.infer
        runner.infer = lambda feeds: {name: array[..., ::-1] for name, array in infer(feeds).items()}
        return runner


class TestDrifting(Quiet):
    __test__ = True
    backend = Drifting


class Unhelpful(Interpreter):
    def probe(self):
        return Availability(can_build=True, can_run=False, version="1")


class TestUnhelpful(Quiet):
    __test__ = True
    backend = Unhelpful
    needs_device = False


class Absent(Interpreter):
    def probe(self):
        return Availability(False, False, None, why_not="not here", fix="buy one")


class TestAbsent(Quiet):
    __test__ = True
    backend = Absent


class Hollow(Interpreter):
    def evidence(self, engine, context):
        return Evidence((NodeEvidence("a", "", "float32", "CPU"),))


class TestHollow(Quiet):
    __test__ = True
    backend = Hollow
'''

PASSES = '''
import shutil
from pathlib import Path

from edgetool.graph import load, read_model, save
from edgetool.passes.base import Pass, PassOptions, PassResult
from edgetool.problem import Problem
from edgetool.testing import PassConformance, tiny_mlp


class Quiet(PassConformance):
    __test__ = False
    test_planning_imports_nothing_heavy = None  # starts an interpreter each time
    models = (tiny_mlp,)


class Copy(Pass):
    """Keeps every promise: marks the model, once."""

    Options = PassOptions

    def apply(self, model, workdir, context):
        proto = load(model.path)
        if proto.doc_string == "marked":
            return PassResult(model, changed=False)
        proto.doc_string = "marked"
        save(proto, workdir / "model.onnx")
        return PassResult(read_model(workdir / "model.onnx", model.signature.dims), changed=True)


class TestCopy(Quiet):
    __test__ = True
    pass_class = Copy


class InPlace(Copy):
    def apply(self, model, workdir, context):
        proto = load(model.path)
        proto.doc_string += "again"
        save(proto, model.path)
        return super().apply(model, workdir, context)


class TestInPlace(Quiet):
    __test__ = True
    pass_class = InPlace


class Boastful(Pass):
    """Says that it changed what it copied."""

    Options = PassOptions

    def apply(self, model, workdir, context):
        shutil.copyfile(model.path, workdir / "model.onnx")
        return PassResult(read_model(workdir / "model.onnx", model.signature.dims), changed=True)


class TestBoastful(Quiet):
    __test__ = True
    pass_class = Boastful


class Renamer(Copy):
    def apply(self, model, workdir, context):
        proto = load(model.path)
        proto.graph.output[0].name = proto.graph.node[-1].output[0] = "renamed"
        save(proto, workdir / "model.onnx")
        return PassResult(read_model(workdir / "model.onnx", model.signature.dims), changed=True)


class TestRenamer(Quiet):
    __test__ = True
    pass_class = Renamer


class Liar(Copy):
    """Blames a node that is not there."""

    def check(self, model):
        return (Problem("no", ("nowhere",)),)


class TestLiar(Quiet):
    __test__ = True
    pass_class = Liar
'''

EXPECTED = {
    "TestUndocumented": {"test_options_are_closed_documented_frozen"},
    "TestOpen": {"test_options_are_closed_documented_frozen"},
    "TestForgetful": {"test_supports_covers_every_node"},
    "TestSpeechless": {"test_refusals_are_data"},
    "TestMeddler": {"test_build_writes_into_its_directory_only"},
    "TestClock": {"test_same_model_gives_same_bytes"},
    "TestRooted": {"test_engine_can_be_moved", "test_same_model_gives_same_bytes"},
    "TestDrifting": {"test_agrees_with_the_reference_at_every_shape"},
    "TestUnhelpful": {"test_probe_tells_what_is_here"},
    "TestHollow": {"test_evidence_is_well_formed"},
    "TestCopy": set(),
    "TestInPlace": {"test_input_is_untouched"},
    "TestBoastful": {"test_changed_is_truthful"},
    "TestRenamer": {"test_signature", "test_result_computes_the_same"},
    "TestLiar": {"test_applicable_models_are_not_refused", "test_applying_twice_is_sane"},
}


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Class name -> names of its failed tests, of one run over all faulty plugins."""
    folder = tmp_path_factory.mktemp("faults")
    files = {"faulty_backends.py": BACKENDS, "faulty_passes.py": PASSES}
    for name, text in files.items():
        (folder / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rfEsp", "-q", "--tb=no", "-p", "no:cacheprovider", *files],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[str, set[str]] = {}
    for line in done.stdout.splitlines():
        outcome, _, rest = line.partition(" ")
        if outcome in ("FAILED", "ERROR", "PASSED"):
            _, kind, name = rest.partition(" - ")[0].split("::")
            failed = found.setdefault(kind, set())
            if outcome != "PASSED":
                failed.add(name.partition("[")[0])
    assert found, done.stdout + done.stderr
    return found


@pytest.mark.parametrize("kind", EXPECTED)
def test_fault_fails_its_own_test(kind: str, failures: dict[str, set[str]]) -> None:
    assert failures[kind] == EXPECTED[kind]


def test_absent_backend_fails_unless_it_is_allowed_to(failures: dict[str, set[str]]) -> None:
    assert "test_supports_covers_every_node" in failures["TestAbsent"]
    assert "test_closing_twice_is_harmless" not in failures["TestUnhelpful"]


def test_heavy_import_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgetool.testing import HEAVY, imported_by

    (tmp_path / "heavy_plugin.py").write_text("import numpy\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "numpy" in imported_by("import heavy_plugin") & HEAVY
    assert not imported_by("import edgetool.testing.interpreter") & HEAVY
