"""`precision = "auto"`: every candidate is built, the best inside the budgets delivered, and all are in the report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.installed import install_plugin

Cli = Callable[..., subprocess.CompletedProcess[str]]
Edit = Callable[[str, str], None]

PLUGIN = '''
import os, pathlib, shutil, time
from edgetool.artifact import Engine
from edgetool.backends import Availability, Backend, BackendOptions, Placement, Runner, Support
from edgetool.errors import DeviceError, HostError
from edgetool.plugin import BackendInfo, hookimpl
from edgetool.problem import Problem

class Options(BackendOptions):
    """By precision: how long an inference takes, and what goes wrong."""
    times: dict[str, float] = {"float32": 0.002, "float16": 0.001, "int8": 0.004}
    padding: dict[str, int] = {}
    refuses: list[str] = []
    aborts: list[str] = []
    gives_out: list[str] = []
    wrong: list[str] = []
    waits: str = ""
    absent: bool = False
    deferred: bool = False
    here: bool = False

class Board(Backend):
    """Runs elsewhere, where time passes as the options say."""
    Options = Options

    @classmethod
    def tools(cls): return ()

    def probe(self):
        if self.options.deferred:
            return Availability(True, False, "1.0", "the device makes it", builder="kit", deferred=True)
        if self.options.absent:
            return Availability(True, False, "1.0", "no board is plugged in", "plug it in")
        return Availability(True, True, "1.0")

    def supports(self, model, context):
        precision = _precision(model.path)
        problems = (Problem(f"no {precision} on this board"),) if precision in self.options.refuses else ()
        return Support((Placement("stem", "Conv", "NPU"),), "NPU", problems)

    def build(self, model, directory, context):
        precision = _precision(model.path)
        if precision == self.options.waits:
            (pathlib.Path(os.environ["BOARD_WAITS"])).touch()
            time.sleep(600)
        if precision in self.options.aborts:
            os.abort()
        if precision in self.options.gives_out:
            raise HostError("out-of-memory", "the board ran out of memory", hint="close something")
        shutil.copy(model.path, directory / "engine.onnx")
        (directory / "padding.bin").write_bytes(bytes(self.options.padding.get(precision, 0)))
        return Engine("board", directory, "engine.onnx", precision, model.signature)

    def open(self, engine, context):
        return OnBoard(engine, self.options)

class OnBoard(Runner):
    def __init__(self, engine, options):
        import onnxruntime
        self.signature = engine.signature
        self.elsewhere = None if options.here else "the board"
        self._session = onnxruntime.InferenceSession(engine.directory / engine.entry)
        self._seconds = float(os.environ.get(f"BOARD_{engine.precision}", options.times[engine.precision]))
        self._wrong = engine.precision in options.wrong

    def infer(self, feeds):
        names = [spec.name for spec in self.signature.outputs]
        found = dict(zip(names, self._session.run(names, dict(feeds))))
        return {name: value * 0 + 1 for name, value in found.items()} if self._wrong else found

    def time(self, feeds, runs): return [self._seconds] * runs
    def conditions(self): return {"power_mode": "15W"}
    def peak_memory(self): return 1000
    def close(self): pass

def _precision(path):
    import onnx
    model = onnx.load(path)
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        return "int8"
    weights = {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) > 1}
    return "float16" if weights == {onnx.TensorProto.FLOAT16} else "float32"

@hookimpl
def edgetool_backends():
    return [BackendInfo("board", "for tests", "board_plugin:Board")]
'''

BUNDLE = "dist/tiny-1.0.0-auto.edgebundle"


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which a backend is installed whose engines are as slow, wrong or absent as its options say."""
    return install_plugin(tmp_path_factory.mktemp("site"), "board", PLUGIN)


@pytest.fixture
def build(project: Path, run_cli: Cli, board: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Builds a target with `precision = "auto"` on the board; a text is appended to its table first."""

    def run(
        *arguments: str, text: str = "", target: str = "", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        path = project / "targets.toml"
        if "[targets.auto]" not in path.read_text():
            head = '\n[targets.auto]\nbackend = "board"\nprecision = "auto"\n'
            path.write_text(f"{path.read_text()}{head}{target}\n[targets.auto.board]\n{text}\n")
        return run_cli("build", "--target", "auto", *arguments, cwd=project, env={**board, **(env or {})})

    return run


Build = Callable[..., subprocess.CompletedProcess[str]]


def report(project: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / BUNDLE / f"reports/{name}.json").read_bytes())
    return found


def statuses(project: Path) -> dict[str, str]:
    return {row["name"]: row["status"] for row in report(project, "validation")["candidates"]}


def test_int8_that_is_slower_is_said_so_and_the_report_shows_all(project: Path, run_cli: Cli, build: Build) -> None:
    done = build()
    assert done.returncode == 0, done.stdout + done.stderr
    first, *remarks = done.stdout.splitlines()
    assert first.startswith("built auto  float16 ")
    assert "int8 is slower here: 0.25x float16's speed" in first
    assert [line.split()[1] for line in remarks if line.startswith("  candidate ")] == ["float32", "float16", "int8"]
    validation = report(project, "validation")
    assert (validation["candidate"], validation["chosen_by"]) == ("float16", "speed")
    assert statuses(project) == {"float32": "passed over", "float16": "chosen", "int8": "passed over"}
    assert all(row["size"] > 0 and row["cosine"] > 0.9 for row in validation["candidates"])
    assert "p50" not in json.dumps(validation), "what depends on the moment takes no part in the content digest"
    measurements = report(project, "measurements")
    assert measurements["candidates"]["int8"]["latency"]["engine"]["p50_s"] == 0.004
    assert measurements["latency"]["reference"] is None, "the reference ran here, and the engine on the board"
    assert (measurements["device"], measurements["conditions"]) == ("the board", {"power_mode": "15W"})
    assert run_cli("verify", project / BUNDLE).returncode == 0

    # An unchanged rebuild runs nothing, for no candidate.
    again = build("--json")
    assert again.returncode == 0
    events = [json.loads(line) for line in again.stdout.splitlines()]
    assert all(row["cached"] for row in events if row["event"] == "step-finished")
    started = [row["candidate"] for row in events if row["event"] == "candidate-started"]
    assert started == ["float32", "float16", "int8"]
    (finished,) = [row for row in events if row["event"] == "build-finished"]
    rows = {row["name"]: row for row in finished["result"]["candidates"]}
    assert rows["int8"]["remark"] == "0.25x float16's speed"
    assert (
        finished["content_digest"] == json.loads(run_cli("verify", project / BUNDLE, "--json").stdout)["content_digest"]
    )


@pytest.mark.slow
def test_a_locked_build_makes_the_recorded_candidate_and_the_same_bundle(
    project: Path, run_cli: Cli, build: Build
) -> None:
    assert build("--update-lock").returncode == 0
    before = (project / BUNDLE / "manifest.json").read_bytes(), report(project, "validation")
    another_day = {"BOARD_int8": "0.0001"}
    done = build("--locked", "--remeasure", "--json", env=another_day)
    assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["candidate"] for row in events if row["event"] == "candidate-started"] == ["float16"]
    assert any("as edgetool.lock says" in row for row in events[-2]["remarks"])
    assert ((project / BUNDLE / "manifest.json").read_bytes(), report(project, "validation")) == before
    assert build("--remeasure", env=another_day).stdout.startswith("built auto  int8 ")

    drifted = build("--locked", "--set", "targets.auto.facts.fp16=false")
    assert drifted.returncode == 8, drifted.stdout
    assert "'float16' was locked, and now is left out: the target's facts say fp16 = false" in drifted.stderr
    why = run_cli("cache", "why", "auto")
    assert why.returncode == 0, why.stderr
    assert "int8: build" in why.stdout
    lock = project / "edgetool.lock"
    lock.write_text(json.dumps({**json.loads(lock.read_text()), "choices": {}}))
    drifted = build("--locked")
    assert drifted.returncode == 8
    assert 'before the target said precision = "auto"' in drifted.stderr
    lock.write_text(json.dumps({**json.loads(lock.read_text()), "choices": {"auto": {"chosen": "float16"}}}))
    damaged = build("--locked")
    assert damaged.returncode == 2, damaged.stderr
    assert "this is no choice between candidates" in damaged.stderr


def test_what_fails_or_is_refused_is_out_with_its_reason(project: Path, build: Build) -> None:
    done = build(text='refuses = ["float16"]\nwrong = ["int8"]\ntimes = { float32 = 0.002, int8 = 0.001 }')
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("built auto  float32 ")
    assert "no float16 on this board" in done.stdout
    assert "no float16 on this board" in done.stderr
    assert statuses(project) == {"float32": "chosen", "float16": "refused", "int8": "rejected"}
    assert report(project, "measurements")["candidates"]["int8"]["latency"] is None


@pytest.mark.slow
def test_a_crash_of_one_candidate_does_not_end_the_build(project: Path, build: Build) -> None:
    done = build(text='aborts = ["float32"]')
    assert done.returncode == 0, done.stdout + done.stderr
    assert statuses(project)["float32"] == "refused"
    assert "SIGABRT" in done.stdout


@pytest.mark.slow
def test_a_limit_of_the_machine_leaves_the_choice_open(project: Path, build: Build) -> None:
    done = build(text='gives_out = ["int8"]', target="facts = { fp16 = false }")
    assert done.returncode == 9, done.stdout + done.stderr
    assert "int8 could not be tried: the board ran out of memory" in done.stdout
    assert statuses(project) == {"float32": "chosen", "float16": "left out", "int8": "refused"}


def test_budgets_are_held_before_speed_counts(project: Path, build: Build) -> None:
    times = "times = { float32 = 0.002, float16 = 0.003, int8 = 0.001 }"
    done = build(
        text=f"{times}\npadding = {{ int8 = 100000 }}", target='budget = { size = "50KiB", latency_p50 = "2.5ms" }'
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert statuses(project) == {"float32": "chosen", "float16": "rejected", "int8": "rejected"}
    rows = {row["name"]: row for row in report(project, "validation")["candidates"]}
    assert rows["float16"]["reason"] == "missed latency_p50"
    assert rows["int8"]["reason"].startswith("missed size 50.0 KiB, measured")
    assert "missed latency_p50 2.5 ms, measured 3 ms" in done.stdout


def test_where_no_candidate_holds_the_budgets_the_build_fails(project: Path, build: Build) -> None:
    done = build(target='budget = { latency_p50 = "0.5ms" }')
    assert done.returncode == 4, done.stdout + done.stderr
    assert done.stdout.startswith("failed auto  float16 ")
    assert "no candidate holds the budgets; float16 comes nearest" in done.stdout
    assert set(statuses(project).values()) == {"rejected"}
    assert "verify" not in done.stdout.splitlines()[-1], "the bundle of a failed build is not presented as good"


def test_without_calibration_data_int8_is_left_out(build: Build, edit: Edit) -> None:
    edit('calibration = "calib"\n', "")
    done = build("--dry-run", "--json")
    (plan,) = json.loads(done.stdout)["plans"]
    why_not = {row["name"]: row["why_not"] for row in plan["candidates"]}
    assert why_not["float16"] is None
    assert why_not["int8"] == "quantize-static needs calibration data, and [data] calibration names none"


def test_without_the_device_the_smallest_wins_and_nobody_calls_that_proven(project: Path, build: Build) -> None:
    done = build(text="absent = true\npadding = { float32 = 50, int8 = 9000 }")
    assert done.returncode == 9, done.stdout + done.stderr
    assert done.stdout.startswith("built auto  float16 ")
    assert "chosen for its size: nothing could be measured" in done.stdout
    assert report(project, "validation")["chosen_by"] == "size"
    assert build("--allow-unverified").returncode == 0


def test_a_builder_that_makes_no_engine_is_refused_before_anything_runs(project: Path, build: Build) -> None:
    done = build(text="deferred = true")
    assert done.returncode == 2
    assert "'kit'" in done.stderr
    assert "host" in done.stderr
    assert "import" not in done.stderr.replace("importer", "")


def test_nothing_that_builds_is_the_first_candidates_error(project: Path, build: Build) -> None:
    done = build(text='refuses = ["float32", "float16", "int8"]')
    assert done.returncode == 3
    assert "no candidate became an engine" in done.stderr
    assert "no int8 on this board" in done.stderr
    assert not (project / "dist").exists()


@pytest.mark.slow
def test_the_fallback_replaces_the_backend_for_all_candidates(project: Path, build: Build) -> None:
    text = 'refuses = ["float32", "float16", "int8"]'
    done = build(text=text, target='fallback = ["onnxruntime"]')
    assert done.returncode == 9, done.stdout + done.stderr
    assert "proves nothing for auto" in done.stdout
    manifest = json.loads((project / BUNDLE / "manifest.json").read_bytes())
    assert manifest["backend"]["name"] == "onnxruntime"
    assert "refused" not in statuses(project).values()


def test_plan_and_check_show_every_candidate(project: Path, run_cli: Cli, board: dict[str, str], build: Build) -> None:
    done = build("--dry-run", text='refuses = ["int8"]', target="facts = { fp16 = false }")
    assert done.returncode == 0
    assert "candidate float16: left out: the target's facts say fp16 = false" in done.stdout
    assert "weight_bits = 8" in done.stdout
    assert not (project / "dist").exists()
    checked = run_cli("check", "--target", "auto", cwd=project, env=board)
    assert checked.returncode == 0, checked.stderr
    assert "refused: no int8 on this board" in checked.stdout
    assert "float16: left out" in checked.stdout
    compressed = run_cli("compress", "--target", "auto", cwd=project, env=board)
    assert compressed.returncode == 2
    assert "targets.auto.recipe" in compressed.stderr
    shown = run_cli("targets", "show", "auto", cwd=project, env=board)
    assert 'precision = "auto"' in shown.stdout


def test_own_recipes_are_candidates(project: Path, build: Build, edit: Edit) -> None:
    edit("[recipes.int8]", "[recipes.plain]\npasses = []\n[recipes.int8]")
    done = build(target='candidates = ["plain", "int8"]')
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("built auto  plain (float32) ")
    assert "int8 is slower here: 0.50x plain's speed" in done.stdout
    manifest = json.loads((project / BUNDLE / "manifest.json").read_bytes())
    assert manifest["passes"] == []


def test_an_interrupt_in_the_middle_leaves_nothing_behind(
    project: Path, build: Build, board: dict[str, str], tmp_path: Path
) -> None:
    build("--dry-run", text='waits = "float16"')
    waits = tmp_path / "waits"
    process = subprocess.Popen(
        [sys.executable, "-m", "edgetool", "build", "--target", "auto"],
        cwd=project, env={**os.environ, **board, "BOARD_WAITS": str(waits)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not waits.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert not (project / "dist").exists()
    assert "candidate int8" not in said


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_real_runtimes(project: Path, run_cli: Cli, backend: str) -> None:
    """Whichever is the fastest on this machine: it is inside the budgets, and the others are accounted for."""
    path = project / "targets.toml"
    path.write_text(
        f'{path.read_text()}\n[targets.auto]\nbackend = "{backend}"\nprecision = "auto"\n'
        "[targets.auto.budget]\nmin_cosine = 0.98\n"
    )
    done = run_cli("build", "-t", "auto", "-t", "float", "--jobs", "2", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    found = statuses(project)
    assert sorted(found) == ["float16", "float32", "int8"]
    assert list(found.values()).count("chosen") == 1
    assert set(found.values()) <= {"chosen", "passed over"}
    rows = report(project, "measurements")["candidates"]
    assert all(row["latency"]["engine"]["p50_s"] > 0 for row in rows.values())
    assert "built float" in done.stdout
    why = run_cli("cache", "why", "auto")
    assert why.returncode == 0, why.stderr
