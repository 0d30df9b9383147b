"""A project to build in: a small convolutional network, real-looking data, one target."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny import write_tiny_project

TARGETS = """\
schema = 1

[model]
name = "tiny"
version = "1.0.0"
source = "model.onnx"
[model.inputs.x]
shape = ["batch", 3, 8, 8]
[model.dims.batch]
max = 4

[data]
calibration = "calib"
evaluation = "eval"

[recipes.int8]
passes = [{ use = "simplify" }, { use = "quantize-static" }]

[targets.float]
backend = "onnxruntime"

[targets.int8]
backend = "onnxruntime"
recipe = "int8"
[targets.int8.budget]
min_cosine = 0.98

[targets.openvino]
backend = "openvino"
"""


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    write_tiny_project(folder, TARGETS, calibration=40, evaluation=8)
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    """A folder of the test's own."""
    folder = tmp_path / "project"
    shutil.copytree(template, folder)
    return folder


@pytest.fixture
def edit(project: Path) -> Callable[[str, str], None]:
    """Replace a text in the project's targets.toml."""

    def replace(old: str, new: str) -> None:
        path = project / "targets.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return replace
