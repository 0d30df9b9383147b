"""`edgetool conformance`: the ONNX project's own tests, and backends that it has to see through."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "at_least"), [("onnxruntime", 70), ("openvino", 60)])
def test_a_hundred_models_are_validated_or_refused(backend: str, at_least: int, run_cli: Cli, tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    done = run_cli("conformance", "--backend", backend, "--every", "19", "-o", found, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(found.read_bytes())
    assert len(result["cases"]) >= 99
    assert {row["fate"] for row in result["cases"]} <= {"validated", "refused", "deviates"}
    assert result["counts"]["validated"] >= at_least
    assert all(row["reason"] for row in result["cases"] if row["fate"] != "validated")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "fate", "words"),
    [
        ("dies", "crash", "SIGABRT"),
        ("fails", "bug", "nobody thought of this"),
    ],
)
def test_a_backend_that_breaks_its_promise_is_a_defect(
    backend: str, fate: str, words: str, run_cli: Cli, ill: dict[str, str], tmp_path: Path
) -> None:
    found = tmp_path / "found.json"
    done = run_cli("conformance", "--backend", backend, "--only", "test_leakyrelu", "-o", found, env=ill)
    assert done.returncode == 4, done.stdout + done.stderr
    cases = json.loads(found.read_bytes())["cases"]
    assert cases
    assert {row["fate"] for row in cases} == {fate}
    assert "LeakyRelu" in {row["operator"] for row in cases}, "known although the case never came back"
    assert f"  {fate}: test_leakyrelu" in done.stdout
    assert words in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_what_validation_would_notice_is_refused(run_cli: Cli, ill: dict[str, str], tmp_path: Path) -> None:
    """A build with this backend would end there, so nothing wrong gets out."""
    found = tmp_path / "found.json"
    done = run_cli("conformance", "--backend", "lies", "--only", "test_leakyrelu", "-o", found, env=ill)
    assert done.returncode == 0, done.stdout + done.stderr
    cases = json.loads(found.read_bytes())["cases"]
    assert {(row["fate"], row["stage"]) for row in cases} == {("refused", "validate")}
    assert all("not what the float reference computes" in row["reason"] for row in cases)


@pytest.mark.slow
def test_what_is_known_is_not_run_again(run_cli: Cli, tmp_path: Path) -> None:
    environment = {"EDGETOOL_CACHE_DIR": str(tmp_path / "cache")}
    first = run_cli("conformance", "--backend", "onnxruntime", "--only", "test_elu", env=environment)
    assert first.returncode == 0, first.stderr
    (journal,) = (tmp_path / "cache").glob("*/conformance/*.jsonl")
    rows = [json.loads(line) for line in journal.read_text().splitlines() if line]
    rows[0]["reason"], rows[0]["fate"] = "as the journal says", "refused"
    journal.write_text("\n".join(map(json.dumps, rows[:1])))
    again = run_cli("conformance", "--backend", "onnxruntime", "--only", "test_elu", env=environment)
    assert "1 refused" in again.stdout, "one was read"
    assert f"{len(rows) - 1} validated" in again.stdout, "and the others ran"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), "which-backend", "name a backend"),
        (("--backend", "openvino", "--target", "x"), "which-backend", "both are named"),
        (("--backend", "nowhere"), "unknown-backend", "nowhere"),
        (("--target", "x"), "targets-file-not-found", "no such file"),
        (("--backend", "tensorrt", "--only", "test_relu"), "backend-unusable", "which GPU"),
    ],
    ids=["nothing", "both", "unknown", "no file", "no device"],
)
def test_what_users_get_wrong(arguments: tuple[str, ...], code: str, words: str, run_cli: Cli, tmp_path: Path) -> None:
    done = run_cli("conformance", *arguments, cwd=tmp_path)
    assert done.returncode in (2, 5), done.stdout + done.stderr
    assert f"error[{code}]" in done.stderr
    assert words in done.stderr


@pytest.mark.slow
def test_a_target_brings_its_options_and_its_device(run_cli: Cli, ill: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "targets.toml").write_text(
        'schema = 1\n[targets.small]\nbackend = "onnxruntime"\nonnxruntime = { providers = ["CPUExecutionProvider"] }\n'
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {**ill, "TMPDIR": str(scratch)}
    done = run_cli("conformance", "--target", "small", "--only", "test_elu", "--json", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["backend"] == "onnxruntime"
    assert result["counts"]["validated"] >= 3
    assert not list(scratch.glob("edgetool-conformance-*")), "left behind"
