"""`edgetool tune` as users run it, on a small network: what it chooses, says, writes, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool.config.load import load
from edgetool.engine.cache import Cache, default_root
from edgetool.engine.isolate import Children
from edgetool.engine.plan import plan
from edgetool.engine.services import Services
from edgetool.plugin.manager import load_plugins
from edgetool.search.report import conclusion
from edgetool.search.tune import Tuned, TuneOptions, tune
from tests.tiny import write_tiny_project

Cli = Callable[..., subprocess.CompletedProcess[str]]

TARGETS = """\
schema = 1
[model]
source = "model.onnx"
[model.inputs.x]
shape = ["batch", 3, 8, 8]
[model.dims.batch]
max = 4
[data]
calibration = "calib"
evaluation = "eval"

[targets.cpu]  # the one that is tuned
backend = "onnxruntime"
threads = 1
"""

QUICK = ("--latency-time", "0.1s", "--set", "targets.cpu.threads=1")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune")
    write_tiny_project(folder, TARGETS, calibration=16, evaluation=12)
    (folder / "unjudged.toml").write_text(TARGETS.replace('evaluation = "eval"', ""))
    return folder


def _result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_smallest_recipe_that_holds_is_found_shown_and_written(project: Path, run_cli: Cli) -> None:
    common = ("tune", "--target", "cpu", "--objective", "size", "--min-cosine", "0.9", *QUICK)
    done = run_cli(*common, "--plot", "tune.html", "--json", cwd=project)
    assert done.returncode == 0, done.stderr
    result = _result(done)
    points = {row["name"]: row for row in result["points"]}
    assert result["pays"]
    assert points[result["chosen"]]["status"] == "chosen"
    assert points[result["chosen"]]["size"] == min(
        row["size"] for row in points.values() if row["status"] in ("chosen", "holds")
    )
    assert points["float"]["status"] == "holds"
    assert all(row["reason"] for row in points.values()), "every recipe has its reason"
    assert result["samples"]["kind"] == "folds", "12 samples are too few for halves"
    assert [row["status"] for row in result["judged"]] == ["held"]
    assert set(result["front"]) <= set(points)
    answers = result["answers"]
    assert answers[-1]["chosen"] == result["chosen"], "the last answer is the answer"
    assert sorted(row["seconds"] for row in answers) == [row["seconds"] for row in answers]
    assert answers[-1]["seconds"] <= result["seconds"]
    page = (project / "tune.html").read_text()
    assert "<svg" in page
    assert "http" not in page
    assert result["chosen"] in page

    before = (project / "targets.toml").read_text()
    again = run_cli(*common, "--write", cwd=project)
    assert again.returncode == 0, again.stderr
    assert "results are used again" in again.stderr
    after = (project / "targets.toml").read_text()
    written = tomllib.loads(after)
    assert written["targets"]["cpu"]["recipe"] == "tuned-cpu"
    assert written["recipes"]["tuned-cpu"]["passes"] == result["passes"]
    assert [line for line in before.splitlines() if line not in after.splitlines()] == []
    (project / "targets.toml").write_text(before)

    unplotted = run_cli(*common, "--plot", "targets.toml/tune.html", cwd=project)
    assert (unplotted.returncode, "error[host-failed]" in unplotted.stderr) == (10, True)
    assert "[recipes.tuned-cpu]" in unplotted.stdout, "the search was not for nothing"


LAYERS = 8
WIDTH = 96


def _deep_network(path: Path) -> None:
    """Products with Relu between them; the weights of three have outliers, which eight bits a channel serve badly."""
    generator = np.random.default_rng(3)
    nodes, weights, tensor = [], [], "x"
    for at in range(LAYERS):
        values = generator.normal(size=(WIDTH, WIDTH)) * (2 / WIDTH) ** 0.5
        if at in SENSITIVE:
            values[generator.integers(WIDTH, size=WIDTH), range(WIDTH)] *= 25
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"w{at}"))
        nodes.append(helper.make_node("MatMul", [tensor, f"w{at}"], [f"m{at}"], name=f"layer{at}"))
        tensor = f"m{at}"
        if at < LAYERS - 1:
            nodes.append(helper.make_node("Relu", [tensor], [f"r{at}"], name=f"relu{at}"))
            tensor = f"r{at}"
    shape = ["batch", WIDTH]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, shape)],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


SENSITIVE = (2, 5)

DEEP = f"""\
schema = 1
[model]
source = "model.onnx"
[model.inputs.x]
shape = ["batch", {WIDTH}]
[model.dims.batch]
max = 4
[data]
calibration = "calib.npz"
evaluation = "eval.npz"
[targets.cpu]
backend = "onnxruntime"
threads = 1
[targets.tight]
backend = "onnxruntime"
threads = 1
budget = {{ size = "1KiB" }}
"""


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deep")
    _deep_network(folder / "model.onnx")
    generator = np.random.default_rng(4)
    for name, count in (("calib", 32), ("eval", 64)):
        np.savez(folder / f"{name}.npz", x=generator.normal(size=(count, WIDTH)).astype(np.float32))
    (folder / "targets.toml").write_text(DEEP)
    return folder


def _tuned(folder: Path, passes: set[str], options: TuneOptions, target: str = "cpu") -> Tuned:
    """The search with these passes alone, as if no others were installed."""
    found = load_plugins()
    plugins = replace(found, passes={name: row for name, row in found.passes.items() if name in passes})
    config = load(folder / "targets.toml", known_backends=plugins.backends)
    children = Children()
    try:
        services = Services(Cache(default_root()), children, lambda event: None, plugins)
        return tune(plan(config, target, plugins), services, options)
    finally:
        children.interrupt()


def test_the_most_sensitive_layers_stay_float_and_no_more_than_needed(deep: Path) -> None:
    """A limit that nothing holds shows what each recipe loses; the next one lies just above two layers in float."""
    passes = {"simplify", "quantize-static"}
    options = TuneOptions(objective="size", latency_time=0.05)
    strict = _tuned(deep, passes, replace(options, min_cosine=0.9999))
    assert strict.pick.chosen is not None
    assert (strict.pick.chosen.name, strict.pick.pays) == ("float", False)
    assert any("nothing pays here, float is kept" in line for line in conclusion(strict))
    points = [row.point for row in strict.pick.standings if row.point.trial and row.point.recipe.main is not None]
    losses = {len(row.recipe.steps[-1].options.get("exclude", ())): row.trial.loss("chosen-by") for row in points}
    whole = min(row.trial.loss("chosen-by") for row in points if "exclude" not in row.recipe.steps[-1].options)
    found = _tuned(deep, passes, replace(options, min_cosine=1 - (whole + losses[len(SENSITIVE)]) / 2))
    chosen = found.pick.chosen
    assert chosen is not None
    assert found.pick.pays
    assert set(chosen.recipe.steps[-1].options["exclude"]) <= {f"layer{at}" for at in SENSITIVE}
    rejected = {row.point.name: row.reason for row in found.pick.standings if row.status == "rejected"}
    assert "min_cosine" in rejected["quantize-static"]
    assert found.split.kind == "halves"
    assert found.pick.judged[0].status == "held"


def test_when_nothing_holds_the_exit_code_is_4(deep: Path) -> None:
    found = _tuned(deep, {"simplify", "quantize-static"}, TuneOptions(latency_time=0.05), "tight")
    assert (found.pick.chosen, found.exit_code) == (None, 4)
    assert next(conclusion(found)) == "tight: no recipe holds the budgets"
    assert all("size 1.0 KiB, measured" in row.reason for row in found.pick.standings if row.point.trial)


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (("--file", "unjudged.toml"), "nothing-to-tune-by", 2),
        (("--max-drop", "1%"), "nothing-to-tune-by", 2),
        (("--max-drop", "1 percent"), "wrong-quantity", 2),
        (("--time", "ten"), "wrong-quantity", 2),
    ],
)
def test_mistakes(project: Path, run_cli: Cli, arguments: tuple[str, ...], code: str, exit_code: int) -> None:
    done = run_cli("tune", "--target", "cpu", *arguments, cwd=project)
    assert f"error[{code}]" in done.stderr
    assert done.returncode == exit_code


def test_it_ends_in_time_with_what_it_has(project: Path, run_cli: Cli, tmp_path: Path) -> None:
    """A measurement that would take a minute is cut off; the first one, of float, is not there to choose from."""
    began = time.monotonic()
    done = run_cli(
        "tune", "--target", "cpu", "--time", "8s", "--latency-time", "60s", cwd=project,
        env={"EDGETOOL_CACHE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert time.monotonic() - began < 20
    assert (done.returncode, "search-timed-out" in done.stderr) == (10, True)


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_known_and_the_next_run_goes_on(project: Path, run_cli: Cli, tmp_path: Path) -> None:
    arguments = ["tune", "--target", "cpu", "--objective", "size", "--min-cosine", "0.9", *QUICK]
    command = [sys.executable, "-m", "edgetool", *arguments]
    env = {**os.environ, "EDGETOOL_CACHE_DIR": str(tmp_path)}
    process = subprocess.Popen(command, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "candidate quantize-dynamic" in line or "candidate cast-fp16" in line:
            break
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; the same command goes on where it ended" in out
    assert "quantize-static" in out
    done = run_cli(*arguments, cwd=project, env={"EDGETOOL_CACHE_DIR": str(tmp_path)})
    assert done.returncode == 0
    assert "were tried before" in done.stderr


@pytest.mark.slow
def test_side_by_side_gives_the_same_points(project: Path, run_cli: Cli, tmp_path: Path) -> None:
    arguments = ("tune", "--target", "cpu", "--objective", "size", "--min-cosine", "0.9", *QUICK, "--json")
    alone, together = (
        _result(run_cli(*arguments, "--jobs", jobs, cwd=project, env={"EDGETOOL_CACHE_DIR": str(tmp_path / jobs)}))
        for jobs in ("1", "3")
    )
    assert [row["name"] for row in alone["points"]] == [row["name"] for row in together["points"]]
    assert [row["size"] for row in alone["points"]] == [row["size"] for row in together["points"]]
    assert alone["chosen"] == together["chosen"]
