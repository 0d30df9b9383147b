"""What goes wrong in real projects, planted in an example: a broken export, a drift of bfloat16, a slower build.

Each must fail with its exit code, and the report must say what failed, where, and what to do about it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgetool.host import instruction_sets
from edgetool.report.formats import FORMATS
from tests.report.planted import DIGITS, Mistakes, write_differences, write_digits, write_stack

Run = Callable[..., subprocess.CompletedProcess[str]]

DIGITS_TARGETS = """
schema = 1
[model]
name = "digits"
source = "model.onnx"
[model.dims.batch]
opt = 16
max = 64
[data]
calibration = "calib.npz"
evaluation = "eval.npz"
metric = "top1"
[recipes.int8]
passes = [{ use = "simplify" }, { use = "quantize-static" }]
[targets.float]
backend = "onnxruntime"
budget = { min_metric = "99%" }
[targets.int8]
backend = "onnxruntime"
recipe = "int8"
budget = { min_sqnr_db = 60 }
"""
BRIEF = ("--latency-time", "0.02s")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, exported rightly to good.onnx, and to model.onnx with its padding on one side."""
    subprocess.run([sys.executable, "-m", "examples.digits.prepare"], cwd=DIGITS.parents[1], check=True)
    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder, name="good.onnx")
    write_digits(folder, Mistakes(pads=(0, 0, 2, 2)))
    (folder / "targets.toml").write_text(DIGITS_TARGETS)
    return folder


def checks(text: str) -> dict[str, dict[str, Any]]:
    """Of the only report."""
    (report,) = json.loads(text)["reports"]
    return {check["id"]: check for check in report["checks"]}


def require(texts: dict[str, str], *words: str) -> None:
    """All of the words in every one of the texts, however its format escapes and breaks lines."""
    for name, text in texts.items():
        plain = text.replace("\\\\", "").replace("&quot;", '"').replace("&#x27;", "'").replace('\\"', '"')
        plain = " ".join(plain.replace("\\", "").replace("%0A", " ").replace("%25", "%").split())
        for word in words:
            assert word in plain, f"{name} does not say {word!r}:\n{plain[:3000]}"


def in_every_format(run_cli: Run, folder: Path, arguments: Sequence[str]) -> tuple[int, dict[str, str]]:
    """The exit code, and what each format of the report says."""
    formats = [word for name in FORMATS for word in ("-O", name)]
    done = run_cli("validate", *arguments, *formats, "-o", "reports", *BRIEF, cwd=folder)
    assert "Traceback" not in done.stderr
    return done.returncode, {name: (folder / "reports" / row.file).read_text() for name, row in FORMATS.items()}


@pytest.mark.slow
@pytest.mark.network
def test_a_broken_export_is_told_in_every_format(digits: Path, run_cli: Run) -> None:
    code, texts = in_every_format(run_cli, digits, ["-t", "float", "--reference", "good.onnx"])
    assert code == 4
    told = "the error begins at features.1.conv (Conv): pads is [0, 0, 2, 2], in the reference [1, 1, 1, 1]"
    require(texts, "the network against good.onnx", told, "export it again with features.1.conv as in good.onnx")
    require(texts, "budget min_metric", "so neither passes nor runtime lost it")
    (report,) = json.loads(texts["json"])["reports"]
    assert report["headline"].startswith("the network against good.onnx")
    assert [row["layer"] for row in report["blame"]["layers"] if row["cause"] == "export"] == ["features.1.conv"]
    assert "with all before it" in texts["html"]
    assert '"name": "features.1.conv"' in texts["sarif"]


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize(
    ("mistakes", "node", "told"),
    [
        pytest.param(
            Mistakes(epsilon=1e-3), "features.0.norm", "epsilon is 0.001, in the reference 1e-05", id="epsilon"
        ),
        pytest.param(Mistakes(turned=True), "features.3.conv", "W is the reference's, transposed", id="transposed"),
        pytest.param(Mistakes(without_bias=True), "classifier", "it has no C, which the reference has", id="no-bias"),
    ],
)
def test_mistakes_that_the_labels_do_not_show(
    mistakes: Mistakes, node: str, told: str, digits: Path, run_cli: Run, tmp_path: Path
) -> None:
    """Ninety-five of a hundred digits are still read rightly: only the comparison with the right network tells."""
    shutil.copytree(digits, tmp_path, dirs_exist_ok=True)
    write_digits(tmp_path, mistakes)
    easy = ("--set", 'targets.float.budget.min_metric="90%"')
    done = run_cli("validate", "-t", "float", *easy, "--reference", "good.onnx", "-O", "json", *BRIEF, cwd=tmp_path)
    assert done.returncode == 4, done.stderr
    found = checks(done.stdout)
    assert found["budget/min_metric"]["outcome"] == "passed"
    assert found["export"]["nodes"] == [node]
    assert f"the error begins at {node}" in found["export"]["message"]
    assert told in found["export"]["message"]


@pytest.mark.slow
@pytest.mark.network
def test_labels_alone_tell_that_the_network_is_to_blame(digits: Path, run_cli: Run, tmp_path: Path) -> None:
    shutil.copytree(digits, tmp_path, dirs_exist_ok=True)
    done = run_cli("validate", "-t", "float", *BRIEF, cwd=tmp_path)
    assert done.returncode == 4
    assert "the network as imported is to blame, or the samples" in done.stdout
    assert "what helps: edgetool validate --reference FILE" in done.stdout
    # The right network, as its own reference: nothing is left to say.
    shutil.copy(tmp_path / "good.onnx", tmp_path / "model.onnx")
    done = run_cli("validate", "-t", "float", "--reference", "good.onnx", "-O", "json", *BRIEF, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "they compute the same: no error" in checks(done.stdout)["export"]["message"]


@pytest.mark.slow
@pytest.mark.network
def test_what_quantizing_lost_is_told_by_layer(digits: Path, run_cli: Run, tmp_path: Path) -> None:
    shutil.copytree(digits, tmp_path, dirs_exist_ok=True)
    shutil.copy(tmp_path / "good.onnx", tmp_path / "model.onnx")
    code, texts = in_every_format(run_cli, tmp_path, ["-t", "int8"])
    assert code == 4
    require(texts, "budget min_sqnr_db", "the most is lost at features.", 'exclude = ["features.')
    assert "Histograms of the worst layers" in texts["html"]
    done = run_cli("validate", "-t", "int8", "--no-blame", "-O", "json", *BRIEF, cwd=tmp_path)
    assert done.returncode == 4
    assert "edgetool blame --target int8" in checks(done.stdout)["budget/min_sqnr_db"]["fix"]


@pytest.mark.slow
def test_a_branch_that_an_export_would_freeze(run_cli: Run, tmp_path: Path) -> None:
    """No exporter is believed: what it could not follow is told with the line of the user's code."""
    (tmp_path / "net.py").write_text(GATE)
    (tmp_path / "targets.toml").write_text(GATE_TARGETS)
    code, texts = in_every_format(run_cli, tmp_path, [])
    assert code == 3
    line = GATE.splitlines().index("        if x.mean() > 0:") + 1
    require(texts, f"net.py:{line}", "the path through forward() depends on values of a tensor")
    require(texts, "choose between tensors with torch.where, or between branches with torch.cond")


GATE = """
from torch import Tensor, nn


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bright, self.dark = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        if x.mean() > 0:
            return self.bright(x)
        return self.dark(x)


def build() -> nn.Module:
    return Gate()
"""
GATE_TARGETS = """
schema = 1
[model]
name = "gate"
source = "net:build"
outputs = ["y"]
[model.inputs.x]
shape = [2, 4]
[targets.cpu]
backend = "onnxruntime"
"""


@pytest.mark.slow
def test_drift_of_bfloat16(run_cli: Run, tmp_path: Path) -> None:
    write_differences(tmp_path)
    (tmp_path / "targets.toml").write_text(BFLOAT16_TARGETS)
    code, texts = in_every_format(run_cli, tmp_path, ["-t", "board"])
    if not {"avx512_bf16", "amx_bf16"} & {*instruction_sets()}:
        # OpenVINO takes float32 on a processor without: what cannot be shown here must not pass for shown.
        assert code not in (0, 9)
        require(texts, "told to compute in bfloat16 and computes in float32")
        return
    assert code == 4
    require(
        texts, "budget min_cosine", "limit 0.999", "no pass changed the network, and the runtime computes in bfloat16"
    )
    require(texts, "computes in bfloat16, which keeps 8 significant bits")
    require(texts, '[targets.board.openvino] inference_precision = "bf16"', 'inference_precision = "f32" keeps')
    cured = ("--set", 'targets.board.openvino.inference_precision="f32"')
    done = run_cli("validate", "-t", "board", *cured, *BRIEF, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_a_pass_that_casts_to_bfloat16_is_named(run_cli: Run, tmp_path: Path) -> None:
    write_differences(tmp_path)
    (tmp_path / "targets.toml").write_text(BFLOAT16_TARGETS)
    done = run_cli("validate", "-t", "cast", "-O", "json", *BRIEF, cwd=tmp_path)
    assert done.returncode == 4, done.stderr
    assert "cast-bf16" in checks(done.stdout)["budget/min_cosine"]["fix"]


BFLOAT16_TARGETS = """
schema = 1
[model]
name = "differences"
source = "model.onnx"
[data]
evaluation = "eval"
[recipes.half]
passes = [{ use = "cast-bf16" }]
[targets.board]
backend = "openvino"
openvino = { inference_precision = "bf16" }
budget = { min_cosine = 0.999 }
[targets.cast]
backend = "openvino"
recipe = "half"
budget = { min_cosine = 0.999 }
"""


STACK_TARGETS = """
schema = 1
[model]
name = "stack"
source = "model.onnx"
[data]
evaluation = "eval"
[targets.cpu]
backend = "onnxruntime"
threads = 1
"""


@pytest.fixture(scope="module")
def accepted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a baseline."""
    folder = tmp_path_factory.mktemp("stack")
    write_stack(folder, 3)
    (folder / "targets.toml").write_text(STACK_TARGETS)
    command = [sys.executable, "-m", "edgetool", "validate", "--baseline", "main.json", "--update-baseline"]
    subprocess.run([*command, "--latency-time", "0.2s"], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_a_slower_build_fails_once_it_is_confirmed(accepted: Path, run_cli: Run, tmp_path: Path) -> None:
    shutil.copytree(accepted, tmp_path, dirs_exist_ok=True)
    write_stack(tmp_path, 15)
    code, texts = in_every_format(run_cli, tmp_path, ["--baseline", "main.json"])
    assert code == 4
    require(texts, "latency against the baseline", "p50 grew from", "times as long; the float network")
    require(texts, "confirmed: a second measurement, of 2 s, says so too", "accept it: edgetool validate --baseline")
    assert "stack/cpu: regression: p50 grew from" in texts["html"]


@pytest.mark.slow
def test_a_busy_moment_does_not_fail(accepted: Path, run_cli: Run) -> None:
    """The measurement that is kept was taken while something else ran: the build is judged by one taken now."""
    (kept,) = _measurements(accepted, run_cli)
    document = json.loads(kept.read_text())
    for name, value in document["latency"]["engine"].items():
        if name in ("p50", "p90", "p99", "longest"):
            document["latency"]["engine"][name] = value * 5
    document["latency"]["speedup"] /= 5
    kept.write_text(json.dumps(document))
    done = run_cli("validate", "--baseline", "main.json", cwd=accepted)
    assert done.returncode == 0, done.stdout
    assert "stack/cpu: seemed slower at first: " in done.stdout
    assert "measured again for 2 s, it is not" in done.stdout
    assert done.stdout.rstrip().endswith("1 passed")


def _measurements(folder: Path, run_cli: Run) -> list[Path]:
    """The files of the cache with this build's latency: those that it writes when it measures again."""
    cache = Path(os.environ["EDGETOOL_CACHE_DIR"])
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("measurements/*.json")}
    assert run_cli("validate", "--remeasure", *BRIEF, cwd=folder).returncode == 0
    return [path for path in cache.rglob("measurements/*.json") if before.get(path) != path.stat().st_mtime_ns]
