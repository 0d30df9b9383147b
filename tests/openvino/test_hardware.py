"""The devices themselves: absent ones are listed as NOT RUN; EDGETOOL_TEST_NPU=1 and the like ask for them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetool.testing.models import tiny_cnn

Cli = Callable[..., subprocess.CompletedProcess[str]]


def _build(folder: Path, run_cli: Cli, *options: str) -> subprocess.CompletedProcess[str]:
    import numpy as np

    tiny_cnn(folder).path.rename(folder / "model.onnx")
    (folder / "eval").mkdir()
    generator = np.random.default_rng(0)
    for index in range(8):
        np.savez(folder / f"eval/{index}.npz", x=generator.normal(size=(1, 3, 8, 8)).astype("float32"))
    lines = [
        'schema = 1\n[model]\nsource = "model.onnx"\n[model.inputs.x]\nshape = [1, 3, 8, 8]',
        '[data]\nevaluation = "eval"\n[targets.device]\nbackend = "openvino"\n[targets.device.openvino]',
        *options,
    ]
    (folder / "targets.toml").write_text("\n".join(lines) + "\n")
    return run_cli("build", "--target", "device", cwd=folder)


@pytest.mark.intel_gpu
def test_an_intel_gpu_runs_what_was_built_for_it(tmp_path: Path, run_cli: Cli) -> None:
    done = _build(tmp_path, run_cli, 'device = "GPU"', 'inference_precision = "f16"')
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nodes on GPU" in done.stdout


@pytest.mark.npu
def test_an_npu_runs_what_was_built_for_it(tmp_path: Path, run_cli: Cli) -> None:
    done = _build(tmp_path, run_cli, 'device = "NPU"', 'inference_precision = "f16"')
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nodes on NPU" in done.stdout


@pytest.mark.fpga
def test_an_fpga_runs_its_part_of_the_network(tmp_path: Path, run_cli: Cli) -> None:
    library = os.environ["EDGETOOL_FPGA_LIBRARY"]
    done = _build(
        tmp_path, run_cli, 'device = "HETERO:FPGA,CPU"', 'plugin_name = "FPGA"', f'plugin_library = "{library}"'
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nodes on FPGA" in done.stdout
