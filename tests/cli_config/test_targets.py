"""`edgetool targets`, as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_list(edgetool, targets_file: Path) -> None:
    done = edgetool("targets", "list")
    assert done.exit_code == 0
    board, ci = done.out.splitlines()[1:]
    assert board.split() == ["board", "nowhere", "(not", "installed)", "int8", "@nvidia/jetson-nano", "the", "board"]
    assert ci.split() == ["ci", "onnxruntime", "-", "-"]
    rows = edgetool("targets", "list", "--json").result["targets"]
    assert [(row["name"], row["installed"]) for row in rows] == [("board", False), ("ci", True)]
    assert rows[1]["stands_in_for"] == ["board"]


def test_show_is_toml_that_loads_again(edgetool, targets_file: Path, project: Path) -> None:
    shown = edgetool("targets", "show", "board").out
    assert tomllib.loads(shown)["targets"]["board"]["facts"]["sm"] == 53
    text = "schema = 1\n[recipes.int8]\n" + shown
    (project / "again.toml").write_text(text)
    again = edgetool("targets", "show", "board", "--json", "--file", "again.toml").result["target"]
    assert again == edgetool("targets", "show", "board", "--json").result["target"] | {"passes": []}


def test_show_origin(edgetool, targets_file: Path) -> None:
    done = edgetool("targets", "show", "board", "--origin", "--set", "targets.board.threads=2")
    lines = {line.split(" = ")[0]: line.rpartition("# ")[2] for line in done.out.splitlines() if " = " in line}
    assert lines["description"] == "targets.toml:5"
    assert lines["sm"] == "@nvidia/jetson-nano"
    assert lines["size"] == "targets.toml:10"
    assert lines["threads"] == "--set targets.board.threads"
    assert lines["unverified"] == "default"
    origins = edgetool("targets", "show", "board", "--origin", "--json").result["origins"]
    assert origins["budget.size"] == "targets.toml:10"
    assert origins["builder.timeout"] == "default"


def test_show_unknown(edgetool, targets_file: Path) -> None:
    done = edgetool("targets", "show", "bord")
    assert (done.exit_code, done.out) == (2, "")
    assert done.err == ("error[unknown-target]: targets.toml: there is no target 'bord'\n  hint: did you mean board?\n")


@pytest.fixture
def right_file(targets_file: Path) -> Path:
    """The same with a backend that is there."""
    targets_file.write_text(targets_file.read_text().replace('"nowhere"', '"tensorrt"'))
    return targets_file


def test_validate(edgetool, right_file: Path) -> None:
    done = edgetool("targets", "validate")
    assert (done.exit_code, done.out) == (0, "targets.toml: 2 targets, 1 recipe, no mistakes\n")


def test_validate_refuses_backends_that_nobody_provides(edgetool, right_file: Path) -> None:
    text = right_file.read_text().replace('"tensorrt"', '"tensort"')
    right_file.write_text(text.replace('"onnxruntime"', '"onnxruntime"\nfallback = ["openvinno"]'))
    done = edgetool("targets", "validate", "--json")
    assert [(row["code"], row["line"], row["key"], row["hint"]) for row in done.events[:-1]] == [
        ("unknown-backend", 7, "targets.board.backend", "did you mean tensorrt?"),
        ("unknown-backend", 13, "targets.ci.fallback.0", "did you mean openvino?"),
    ]
    assert done.exit_code == 2


def test_validate_checks_the_options_of_plugins(edgetool, right_file: Path) -> None:
    text = right_file.read_text()
    text = text.replace("spinning = false", "spining = false").replace('"quantize-static"', '"quantize-statik"')
    right_file.write_text(text + 'format = "ortt"\n')
    done = edgetool("targets", "validate", "--json")
    assert done.exit_code == 2
    assert [(row["code"], row["line"], row["key"]) for row in done.events[:-1]] == [
        ("unknown-pass", 3, "recipes.int8.passes.1.use"),
        ("unknown-key", 15, "targets.ci.onnxruntime.spining"),
        ("invalid-value", 16, "targets.ci.onnxruntime.format"),
    ]
    assert [row["hint"] for row in done.events[:-1]] == [
        "did you mean quantize-static?",
        "did you mean spinning?",
        "did you mean ort?",
    ]
    assert done.events[-1]["event"] == "error"
    assert done.events[-1]["exit_code"] == 2


def test_validate_shows_warnings_and_passes(edgetool, right_file: Path) -> None:
    right_file.write_text(right_file.read_text() + '[targets.ci.openvino]\ndevice = "CPU"\n')
    done = edgetool("targets", "validate")
    assert done.exit_code == 0
    assert done.out.startswith("warning: targets.toml:16 [targets.ci] openvino: no effect")


def test_without_a_file(edgetool) -> None:
    for command in (["list"], ["show", "x"], ["validate"]):
        done = edgetool("targets", *command)
        assert done.exit_code == 2
        assert done.err.startswith("error[targets-file-not-found]: ")
        assert "edgetool init" in done.err


def test_boards(edgetool) -> None:
    done = edgetool("targets", "boards")
    assert "@nvidia/jetson-orin-nano-8gb" in done.out
    assert edgetool("targets", "boards", "--json").result["boards"]["@arm/cortex-a72"] == "Cortex-A72"


def test_schema_describes_what_loads(edgetool) -> None:
    done = edgetool("targets", "schema")
    schema = json.loads(done.out)
    assert schema == edgetool("targets", "schema", "--json").result["schema"]
    assert schema["properties"]["schema"]["const"] == 1
    definitions = schema["$defs"]
    assert definitions["BudgetTable"]["properties"]["size"]["anyOf"][0]["type"] == "string"
    assert "providers" in definitions["TargetTable"]["properties"]["onnxruntime"]["properties"]
    assert {"simplify", "quantize-static"} <= set(definitions["PassTable"]["properties"]["use"]["examples"])
    references = {text.split('"')[0] for text in done.out.split('"$ref": "#/$defs/')[1:]}
    assert references <= set(definitions)


def test_our_own_targets_file_is_right() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgetool", "targets", "validate"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "8 targets" in done.stdout
    assert "warning" not in done.stdout


@pytest.mark.parametrize(
    "name", ["jetson", "jetson-int8", "rtx-ada", "intel-cpu", "intel-fpga", "ort", "microcontroller", "ci"]
)
def test_our_own_targets(edgetool, name: str) -> None:
    target = edgetool("targets", "show", name, "--file", str(ROOT / "targets.toml"), "--json").result["target"]
    assert target["description"]
    assert target["stands_in_for"] == (["jetson"] if name == "ci" else [])
