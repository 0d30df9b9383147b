"""`edgetool init`, as a user types it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from edgetool.config.load import load


@pytest.fixture
def model(project: Path) -> Path:
    import onnx
    from onnx import TensorProto, helper

    path = project / "models" / "my net.onnx"
    path.parent.mkdir()
    x = helper.make_tensor_value_info("x.1", TensorProto.FLOAT, ["batch", "time", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "time", 4])
    graph = helper.make_graph([helper.make_node("Relu", ["x.1"], ["y"])], "g", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_from_a_model(edgetool, model: Path) -> None:
    done = edgetool("init", "models/my net.onnx")
    assert (done.exit_code, done.err) == (0, "")
    assert done.out.endswith("next: edgetool build --target cpu\n")
    config = load(Path("targets.toml"))
    assert config.model is not None
    assert (config.model.name, config.model.source) == ("my-net", "models/my net.onnx")
    assert config.model.inputs["x.1"].shape == ["batch", "time", 4]
    assert set(config.model.dims) == {"batch", "time"}
    assert config.target("cpu").recipe == "float"


def test_calibration_makes_it_int8(edgetool, model: Path) -> None:
    done = edgetool(
        "init", str(model), "--calibration", "data:feeds", "--evaluation", "e.npz", "--metric", "top1", "--json"
    )
    assert done.result["recipe"] == "int8"
    config = load(Path("targets.toml"))
    assert (config.data.calibration, config.data.evaluation, config.data.metric) == ("data:feeds", "e.npz", "top1")
    assert config.target("cpu").budget.max_drop == 0.01
    assert [entry.use for entry in config.target("cpu").passes] == ["simplify", "quantize-static"]


def test_a_board_that_cannot_be_built_here_gets_a_stand_in(edgetool, model: Path) -> None:
    done = edgetool("init", str(model), "--target", "cam=@nvidia/jetson-agx-orin", "--target", "openvino", "--json")
    assert done.result["targets"] == ["cam", "openvino", "ci"]
    assert done.result["next"] == "edgetool build --target ci"
    config = load(Path("targets.toml"))
    assert config.target("cam").extends == ("@nvidia/jetson-agx-orin", "@nvidia/jetson-orin-nano-8gb")
    assert config.target("ci").stands_in_for == ("cam",)


def test_the_source_is_relative_to_the_file(edgetool, model: Path, project: Path) -> None:
    assert edgetool("init", "models/my net.onnx", "--file", "deploy/targets.toml").exit_code == 0
    config = load(Path("deploy/targets.toml"))
    assert config.model is not None
    assert config.model.source == "../models/my net.onnx"


@pytest.mark.parametrize("source", [None, "net:build", "weights.pt2"])
def test_sources_that_do_not_tell_their_inputs(edgetool, project: Path, source: str | None) -> None:
    (project / "weights.pt2").write_bytes(b"PK\x03\x04")
    assert edgetool("init", *([source] if source else [])).exit_code == 0
    config = load(Path("targets.toml"))
    assert config.model is not None
    assert config.model.source == source
    assert not config.model.inputs


def test_never_overwrites_unless_told(edgetool, project: Path) -> None:
    path = project / "targets.toml"
    path.write_text("mine")
    done = edgetool("init")
    assert done.exit_code == 2
    assert "error[targets-file-exists]" in done.err
    assert "--force" in done.err
    assert path.read_text() == "mine"
    assert edgetool("init", "--force").exit_code == 0
    assert path.read_text().startswith("schema = 1")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["none.onnx"], 2, "error[source-not-found]"),
        (["--target", "opnvino"], 2, "did you mean openvino?"),
        (["--target", "@nvidia/jetson-orin"], 2, "error[unknown-board]"),
        (["--target", "a b=@generic/cpu"], 2, "error[invalid-name]"),
        (["--target", "@generic/cpu", "--target", "cpu=openvino"], 2, "error[invalid-name]"),
    ],
)
def test_wrong_words_leave_nothing_behind(edgetool, project: Path, arguments, exit_code: int, message: str) -> None:
    done = edgetool("init", *arguments)
    assert done.exit_code == exit_code
    assert message in done.err
    assert list(project.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "code", "hint"),
    [
        ("models/my net.onn", "source-not-found", "did you mean my net.onnx?"),
        ("elsewhere/net.onnx", "source-not-found", "looked in"),
        ("models/notes.txt", "unknown-source", "sources are .onnx"),
    ],
)
def test_a_wrong_source_is_named_before_the_file_that_is_there(
    edgetool, model: Path, project: Path, name: str, code: str, hint: str
) -> None:
    (model.parent / "notes.txt").write_text("no network")
    (project / "targets.toml").write_text("# mine\n")
    for force in ([], ["--force"]):
        done = edgetool("init", name, *force)
        assert done.exit_code == 2
        assert f"error[{code}]" in done.err
        assert f"hint: {hint}" in done.err
        assert (project / "targets.toml").read_text() == "# mine\n"


def test_a_model_that_is_none(edgetool, project: Path) -> None:
    (project / "garbage.onnx").write_bytes(b"\x00garbage" * 100)
    done = edgetool("init", "garbage.onnx")
    assert done.exit_code == 3
    assert "garbage.onnx" in done.err
    assert not (project / "targets.toml").exists()


def test_a_folder_that_cannot_be_written(edgetool, project: Path) -> None:
    (project / "file").write_text("")
    done = edgetool("init", "--file", "file/targets.toml")
    assert done.exit_code == 10
    assert "file" in done.err


def test_asks_on_a_terminal_only(project: Path, model: Path) -> None:
    """A real terminal: the questions are answered with the model and otherwise with Enter."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "edgetool", "init"], stdin=child, stdout=subprocess.PIPE, stderr=child, cwd=project
    )
    os.close(child)
    os.write(parent, b"models/my net.onnx\n\n\n\n")
    out, _ = process.communicate(timeout=60)
    talk = os.read(parent, 65536).decode()
    os.close(parent)
    assert process.returncode == 0
    assert "Model file" in talk
    assert "Calibration" in talk
    assert out.decode().startswith("wrote targets.toml")
    assert load(project / "targets.toml").target("cpu").backend == "onnxruntime"
