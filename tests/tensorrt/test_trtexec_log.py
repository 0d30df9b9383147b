"""Logs of trtexec in the formats of its majors: version, verdict, the reason in our words, and how far it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetool.errors import error_classes
from edgetool.explain import read_explanation
from edgetool_tensorrt import trtexec
from edgetool_tensorrt.trtexec.reasons import codes
from edgetool_tensorrt.version import Version

LOGS = Path(__file__).with_name("trtexec_logs")
PAGES = Path(trtexec.__file__).parents[1] / "explanations"


def read(name: str) -> trtexec.Log:
    return trtexec.read_log((LOGS / f"{name}.log").read_text())


@pytest.mark.parametrize(
    ("log", "version", "passed", "code"),
    [
        ("8.2-passed", Version(8, 2, 1), True, None),
        ("8.2-killed", Version(8, 2, 1), None, "device-out-of-memory"),
        ("8.5-unsupported-nodes", Version(8, 5, 2), False, "unsupported-by-tensorrt"),
        ("8.5-missing-plugin", Version(8, 5, 2), False, "missing-plugin"),
        ("8.5-other-version", Version(8, 5, 2), False, "engine-of-another-version"),
        ("8.6-no-profile", Version(8, 6, 2), False, "invented-shapes"),
        ("10.3-out-of-memory", Version(10, 3, 0), False, "device-out-of-memory"),
        ("10.3-no-kernel", Version(10, 3, 0), False, "no-kernel-for-node"),
        ("10.7-dla-passed", Version(10, 7, 0, 23), True, None),
        ("10.7-invented-scales", Version(10, 7, 0, 23), False, "invented-scales"),
        ("10.7-sm-not-served", Version(10, 7, 0, 23), False, "unserved-gpu"),
        ("10.16-unsupported-nodes", Version(10, 16, 2, 10), False, "unsupported-by-tensorrt"),
        ("11.1-passed", Version(11, 1, 0, 88), True, None),
        ("11.1-unknown-option", Version(11, 1, 0, 88), False, "trtexec-lacks-option"),
    ],
)
def test_logs(log: str, version: Version, passed: bool | None, code: str | None) -> None:
    found = read(log)
    assert (found.version, found.passed) == (version, passed)
    assert (found.reason.code if found.reason else None) == code


def test_every_log_is_tested() -> None:
    rows = test_logs.pytestmark[0].args[1]
    assert {row[0] for row in rows} == {path.stem for path in LOGS.glob("*.log")}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("[E] [TRT] Error Code 2: OutOfMemory (Requested size was 4096 bytes.)", "device-out-of-memory"),
        ("[E] [TRT] Tactic Device request: 13089MB Available: 9185MB.", "device-out-of-memory"),
        ("NvMapMemAllocInternalTagged: 1075072515 error 12", "device-out-of-memory"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "device-out-of-memory"),
        ("/home/u/job.sh: line 4:  1234 Killed                  trtexec --onnx=net.onnx", "device-out-of-memory"),
        ("cp: error writing 'engine.plan': No space left on device", "device-disk-full"),
        ("[E] Saving engine to file failed.", "engine-not-saved"),
        ("[E] [TRT] Assertion upperBound != 0 failed. Unknown embedded device detected.", "unserved-gpu"),
        ("[E] [TRT] CUDA initialization failure with error: 35", "gpu-not-usable"),
        ("trtexec: error while loading shared libraries: libnvinfer.so.10: cannot open", "broken-tensorrt"),
        ("[E] Serialization assertion magicTagRead == kMAGIC_TAG failed.", "damaged-engine"),
        ("[E] Serialization assertion plan->header.magicTag == rt::kPLAN_MAGIC_TAG failed.", "damaged-engine"),
        (
            "[E] not compatible with this version of TensorRT, expecting library version 10.3.0.30 got 10.7.0.23",
            "engine-of-another-version",
        ),
        ("[E] generated on an incompatible device, expecting compute 8.7 got compute 8.6", "engine-of-another-gpu"),
        ("[E] [TRT] shiftIsAllZeros(zeroPoint): Non-zero zero point is not supported.", "unfit-quantization"),
        ("[E] [TRT] input has type Int32 but must have type FP8, FP4, Int4, Int8, or UInt8", "unfit-quantization"),
        ("[E] Error[4]: Calibration failure occurred with no scaling factors detected.", "missing-scale"),
        ("[E] [TRT] Network has dynamic inputs, but no optimization profile has been defined.", "wrong-profile"),
        ('[E] Cannot find input tensor with name "y" in the network inputs!', "wrong-profile"),
        ("[E] Static model does not take explicit shapes since the shape of inference tensors", "wrong-profile"),
        ("[E] Cannot create DLA engine, 0 not available", "no-dla-core"),
        ("[E] [TRT] softmax (Softmax): is not supported on DLA and GPU fallback is not enabled", "unfit-for-dla"),
        ("[E] [TRT] nms_0 has no runners that implement it", "no-kernel-for-node"),
        ("[E] [TRT] Failed to open file: weights.bin", "missing-model-file"),
        (
            "[E] Unexpected file size for input file: /d/ids.bin. Note: Input binding size is: 8 bytes",
            "wrong-input-size",
        ),
        ("[E] [TRT] Failed to parse the ONNX model", "unreadable-by-tensorrt"),
        ("[E] Something that nobody has seen before", "trtexec-failed"),
    ],
)
def test_reasons(line: str, code: str) -> None:
    ended = f"[03/04/2026-09:10:13] [I] ok\n{line}\n&&&& FAILED TensorRT.trtexec [TensorRT v100300] # trtexec\n"
    for text in (f"{line}\n", ended):
        reason = trtexec.read_log(text).reason
        assert reason is not None
        assert reason.code == code
        assert reason.line


def test_every_reason_is_tested_and_explained_with_its_exit_code() -> None:
    rows = [*test_logs.pytestmark[0].args[1], *test_reasons.pytestmark[0].args[1]]
    assert {row[-1] for row in rows} - {None} == set(codes())
    for code, kind in codes().items():
        page = read_explanation(PAGES / f"{code}.md", package="edgetool_tensorrt")
        assert page.exit_code == error_classes()[kind].exit_code, code


def test_nodes_are_named_all_at_once() -> None:
    reason = read("10.16-unsupported-nodes").reason
    assert reason is not None
    assert reason.nodes == ("topk_unique (Unique)", "spectrum (DFT)")
    assert "topk_unique (Unique), spectrum (DFT)" in reason.as_error("net.onnx").message
    older = read("8.5-unsupported-nodes").reason
    assert older is not None
    assert older.nodes == ("norm_1_out (LayerNormalization)",)
    group = read("10.3-no-kernel").reason
    assert group is not None
    assert group.nodes == ("{ForeignNode[/norm/Cast.../norm/Mul_1]}",)


def test_a_reason_is_an_error_with_the_fix_and_the_line() -> None:
    reason = read("10.3-out-of-memory").reason
    assert reason is not None
    error = reason.as_error("jetson.local")
    assert (error.exit_code, error.where) == (10, "jetson.local")
    assert "swap" in str(error.hint)
    assert "Cuda Runtime (out of memory)" in error.message


def test_tensors_without_a_scale_are_named() -> None:
    assert read("10.7-dla-passed").without_scale == ("head_out", "probs")
    assert read("11.1-passed").without_scale == ()


def test_warnings_of_a_build_that_passed_are_no_reason() -> None:
    """TensorRT skips kernels for want of memory all the time."""
    assert read("8.2-passed").reason is None


def test_paths_in_the_command_line_are_no_reason() -> None:
    text = "&&&& RUNNING TensorRT.trtexec [TensorRT v100300] # trtexec --onnx=/data/Killed/OutOfMemory.onnx\n"
    assert trtexec.read_log(text) == trtexec.Log(Version(10, 3, 0), None, None)


def test_a_log_without_a_banner() -> None:
    assert trtexec.read_log("") == trtexec.Log(None, None, None)
    assert trtexec.read_log("[I] TensorRT version: 8.0.1\n").version == Version(8, 0, 1)
    assert trtexec.read_log("sh: 1: trtexec: not found\n").version is None


def test_progress() -> None:
    lines = (LOGS / "11.1-passed.log").read_text().splitlines()
    assert [text for text in map(trtexec.progress_of, lines) if text] == [
        "starting CUDA",
        "reading the model",
        "model read",
        "searching kernels, with the timing cache",
        "engine made in 28.1183 s",
        "engine of 23.7815 MiB",
    ]
    older = (LOGS / "8.2-passed.log").read_text().splitlines()
    assert [text for text in map(trtexec.progress_of, older) if text][-2:] == [
        "kernels chosen",
        "engine built in 141.20 s",
    ]
