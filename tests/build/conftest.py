"""A project to build in: a small convolutional network, real-looking data, one target."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgetool.testing.models import tiny_cnn

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
    tiny_cnn(folder).path.rename(folder / "model.onnx")
    generator = np.random.default_rng(0)
    for name, count in (("calib", 40), ("eval", 8)):
        (folder / name).mkdir()
        for index in range(count):
            np.savez(folder / name / f"{index:02}.npz", x=generator.normal(size=(1, 3, 8, 8)).astype("float32"))
    (folder / "targets.toml").write_text(TARGETS)
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
