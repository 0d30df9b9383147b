"""What a processor gave, read from the self-test in C and from the runtime itself alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgetool.bundle.golden import GoldenCase, read_golden, read_min_cosine, write_cases
from edgetool.emulate.cross import Library, library_for, rows_of
from edgetool.emulate.trial import compared
from edgetool.emulate.ways import CrossTested, NotShown

WANTED = np.linspace(-1, 1, 64, dtype=np.float32)

LOUD = b"""onnxruntime 1.31.1
case 0: y: cosine 1.000000, gain 1.0000, largest error 0
case 0: a: b: 99.50% of the values are equal
case 1: y: cosine 0.999900, gain 0.9990, largest error 1.5e-05
passed
"""
WRONG = b"""case 2: y: WRONG: cosine 0.5, gain 2.0000, largest error 7
case 3: y: WRONG: 4 values are NaN or infinite on one side only
case 4: y: WRONG: it is float32 2, and should be float32 3
FAILED: the outputs are not the golden ones
"""


def test_lines_of_the_self_test() -> None:
    rows = list(rows_of(LOUD, WRONG))
    assert [(row.case, row.output, row.agrees) for row in rows] == [
        (0, "y", True), (0, "a: b", True), (1, "y", True), (2, "y", False), (3, "y", False), (4, "y", False),
    ]  # fmt: skip
    assert (rows[2].cosine, rows[2].max_abs, rows[2].shown) == (
        0.9999, 1.5e-05, "cosine 0.999900, gain 0.9990, largest error 1.5e-05",
    )  # fmt: skip
    assert rows[1].cosine is None
    assert list(rows_of(None, b"")) == []


def test_arrays_of_the_runtime() -> None:
    broken = WANTED.copy()
    broken[3] = np.nan
    outputs = {"same": WANTED, "nan": WANTED, "short": WANTED}
    found = {"same": WANTED + 1e-7, "nan": broken, "short": WANTED[:9]}
    same, nan, short = compared(4, GoldenCase({}, outputs), found, 0.5)
    assert (same.case, same.agrees, same.output) == (4, True, "same")
    assert same.shown.startswith("cosine 1.000000, gain 1.0000")
    assert not nan.agrees
    assert (short.agrees, short.shown) == (False, "it is float32[9], and should be float32[64]")


def test_several_cases_are_read_as_they_were_written(tmp_path: Path) -> None:
    cases = [GoldenCase({"x": WANTED[:size]}, {"y": WANTED[:size] * 2}) for size in (1, 5)]
    write_cases(tmp_path, cases, min_cosine=0.9)
    found = read_golden(tmp_path)
    assert [case.inputs["x"].tolist() for case in found] == [case.inputs["x"].tolist() for case in cases]
    assert [len(case.outputs["y"]) for case in found] == [1, 5]
    assert read_min_cosine(tmp_path) == 0.9


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_library_that_is_not_here_is_named(runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGETOOL_CACHE_DIR", str(tmp_path))
    way = CrossTested("qemu-aarch64", "cortex-a53", "gcc", runtime)
    found = library_for(way, "aarch64", "1.2.3")
    assert isinstance(found, NotShown)
    if runtime == "openvino":
        assert found.why == "openvino for aarch64 cannot be had here"
        return
    assert f"--dest {tmp_path / 'wheels'} onnxruntime==1.2.3" in str(found.fix)
    wheel = tmp_path / "wheels" / "onnxruntime-1.2.3-cp311-cp311-manylinux_2_28_aarch64.whl"
    wheel.parent.mkdir()
    wheel.touch()
    assert library_for(way, "aarch64", "1.2.3") == Library(wheel, "onnxruntime/capi/libonnxruntime.so.")
    assert isinstance(library_for(way, "aarch64", "1.2"), NotShown)
