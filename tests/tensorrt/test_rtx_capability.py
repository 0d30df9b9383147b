"""Which GPUs are served, and what the probe says on machines with and without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetool.backends import Site
from edgetool.errors import ConfigError
from edgetool.testing import imported_by
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.rtx import availability
from edgetool_tensorrt.rtx.capability import OFFERED, of, refusal, wanted
from edgetool_tensorrt.rtx.cards import Card, conditions, find_cards

trt = pytest.importorskip("tensorrt_rtx")

ADA = Site(facts={"sm": 89})


def test_offers_what_the_library_offers() -> None:
    names = {name for name in trt.ComputeCapability.__members__ if name.startswith("SM")}
    assert {of(sm) for sm in OFFERED} == names


@pytest.mark.parametrize(
    ("sm", "named", "builder"),
    [(53, "Nano", "ssh"), (62, "TX2", "ssh"), (72, "Xavier", "kit"), (87, "Orin", "kit"), (110, "Thor", "ssh"),
     (70, "V100", "local"), (90, "H100", "local"), (100, "B200", "local")],
)  # fmt: skip
def test_names_who_serves_the_others(sm: int, named: str, builder: str) -> None:
    problem = refusal(sm)
    assert problem is not None
    assert f"compute capability {sm} (" in problem.reason and named in problem.reason
    assert f'"{builder}"' in (problem.fix or "")
    with pytest.raises(ConfigError) as raised:
        of(sm)
    assert (raised.value.code, raised.value.message) == ("capability-not-served", problem.reason)


def test_a_capability_that_nobody_knows() -> None:
    problem = refusal(8)
    assert (problem is not None and "8.6 is 86" in (problem.fix or "")) or "8.6 as 86" in (problem.fix or "")


def test_the_options_come_before_the_target() -> None:
    assert wanted(TensorRtOptions(), ADA) == (89,)
    assert wanted(TensorRtOptions(capabilities=[120, 86, 86]), ADA) == (86, 120)


def test_a_target_that_says_nothing() -> None:
    with pytest.raises(ConfigError) as raised:
        wanted(TensorRtOptions(), Site())
    assert raised.value.code == "no-capability"


# ---------------------------------------------------------------------------------------------- the probe


def put_driver(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A machine whose `nvidia-smi` is this shell script, and which has no other."""
    folder.mkdir()
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_probe_without_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = availability(TensorRtOptions(), ADA)
    assert found.can_build and not found.can_run
    assert found.why_not == "no RTX GPU here"
    assert "edgetool validate BUNDLE" in (found.fix or "")
    assert found.device == {"capabilities": [89]}
    assert found.version == trt.__version__


def test_probe_on_a_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_driver(tmp_path / "bin", monkeypatch, "echo 'NVIDIA H100 80GB HBM3, 9.0, 580.65.06'")
    found = availability(TensorRtOptions(), ADA)
    assert found.can_build and not found.can_run
    assert found.why_not == "TensorRT-RTX does not serve the GPU here: NVIDIA H100 80GB HBM3 (90)"


def test_probe_on_another_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_driver(tmp_path / "bin", monkeypatch, "echo 'NVIDIA GeForce RTX 3060, 8.6, 580.65.06'")
    found = availability(TensorRtOptions(), ADA)
    assert not found.can_run
    assert found.why_not == "the engine is for compute capability 89, the GPU here is NVIDIA GeForce RTX 3060 (86)"
    assert "`capabilities`" in (found.fix or "")


def test_probe_on_the_right_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two cards, one of which fits; whether it then can run hangs on cuda-python alone."""
    lines = "echo 'Quadro P400, 6.1, 580.65.06'; echo 'NVIDIA GeForce RTX 4090, 8.9, 580.65.06'"
    put_driver(tmp_path / "bin", monkeypatch, lines)
    assert find_cards()[1] == Card("NVIDIA GeForce RTX 4090", 89, "580.65.06")
    found = availability(TensorRtOptions(), ADA)
    assert found.can_run or "cuda-python" in (found.why_not or "")


@pytest.mark.parametrize(
    "script",
    ["echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'; exit 9",
     "echo 'Old Card, [N/A], 390.0'", "echo 'one, two'", "printf '\\377\\376'"],
)  # fmt: skip
def test_drivers_that_do_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    put_driver(tmp_path / "bin", monkeypatch, script)
    assert find_cards() == ()
    assert availability(TensorRtOptions(), ADA).why_not == "no RTX GPU here"


def test_conditions_are_recorded_as_the_driver_gives_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_driver(tmp_path / "bin", monkeypatch, "echo '2520 MHz, 10501 MHz, 61, P0, 450.00 W'")
    assert conditions() == {
        "clocks.sm": "2520 MHz",
        "clocks.mem": "10501 MHz",
        "temperature.gpu": "61",
        "pstate": "P0",
        "power.limit": "450.00 W",
    }


def test_probe_of_a_board_names_who_serves_it() -> None:
    found = availability(TensorRtOptions(), Site(facts={"sm": 87}))
    assert not found.can_build
    assert "Jetson Orin" in (found.why_not or "") and "ssh" in (found.fix or "")


def test_probe_loads_nothing_heavy() -> None:
    loaded = imported_by(
        "from edgetool.backends import Site\n"
        "from edgetool_tensorrt.options import TensorRtOptions\n"
        "from edgetool_tensorrt.rtx import availability\n"
        "availability(TensorRtOptions(), Site(facts={'sm': 86}))"
    )
    assert not loaded & {"tensorrt_rtx", "tensorrt_rtx_bindings", "numpy", "onnx", "cuda"}
