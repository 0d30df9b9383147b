"""Engine headers are read without a GPU; what is cut, prefixed or something else is said, never guessed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetool.errors import IntegrityError, ModelError
from edgetool_tensorrt.plan_description import describe
from edgetool_tensorrt.plan_file import is_plan, read_header, require_whole
from edgetool_tensorrt.version import Version

METADATA = b'{"names": {"0": "cat"}, "stride": 32}'
TENSORRT_10_3 = b"ftrt" + bytes(20) + bytes((10, 3, 0, 30)) + bytes(100)
OLDER_LAYOUT = b"ftrt" + (239).to_bytes(4, "little") + bytes(100)

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def rtx_plan() -> bytes:
    """A real TensorRT-RTX engine for one multiplication."""
    trt = pytest.importorskip("tensorrt_rtx")
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT16, [1, 4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Mul", ["x", "x"], ["y"])], "g", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(model.SerializeToString())
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    return bytes(builder.build_serialized_network(network, config))


def _written(folder: Path, data: bytes) -> Path:
    path = folder / "net.engine"
    path.write_bytes(data)
    return path


def _prefixed(data: bytes) -> bytes:
    return len(METADATA).to_bytes(4, "little") + METADATA + data


def test_a_real_rtx_engine_says_its_builder_and_its_size(tmp_path: Path, rtx_plan: bytes) -> None:
    import tensorrt_rtx

    header = read_header(_written(tmp_path, rtx_plan))
    assert header.product == "tensorrt-rtx"
    assert header.version == Version.parse(tensorrt_rtx.__version__)
    assert header.declared_size == header.size == len(rtx_plan)
    assert not header.truncated
    assert header.prefix is None


@pytest.mark.parametrize("missing", [1, 1000])
def test_a_cut_rtx_engine_is_truncated(tmp_path: Path, rtx_plan: bytes, missing: int) -> None:
    path = _written(tmp_path, rtx_plan[:-missing])
    header = read_header(path)
    assert header.truncated
    with pytest.raises(IntegrityError, match=f"{len(rtx_plan) - missing} of {len(rtx_plan)} bytes") as caught:
        require_whole(header, path)
    assert caught.value.code == "truncated-engine"


def test_bytes_behind_the_end_are_counted(tmp_path: Path, rtx_plan: bytes) -> None:
    path = _written(tmp_path, rtx_plan + b"junk")
    assert read_header(path).surplus == 4
    found = describe(path)
    assert found is not None
    assert "4 bytes follow" in found.warnings[0]


def test_a_foreign_prefix_is_found_and_the_fix_restores_the_engine(tmp_path: Path, rtx_plan: bytes) -> None:
    path = tmp_path / "with space.engine"
    path.write_bytes(_prefixed(rtx_plan))
    header = read_header(path)
    assert header.prefix is not None
    assert header.prefix.metadata["stride"] == 32
    assert header.size == len(rtx_plan)
    subprocess.run(header.prefix.strip_command(path), shell=True, check=True)
    assert (tmp_path / "plain-with space.engine").read_bytes() == rtx_plan


def test_a_prefix_that_is_no_json_is_still_a_prefix(tmp_path: Path) -> None:
    broken = METADATA.replace(b"}", b"]")
    header = read_header(_written(tmp_path, len(broken).to_bytes(4, "little") + broken + TENSORRT_10_3))
    assert header.prefix is not None
    assert header.prefix.metadata == {}
    assert header.product == "tensorrt"


def test_tensorrt_proper_says_its_version_and_no_size(tmp_path: Path) -> None:
    header = read_header(_written(tmp_path, TENSORRT_10_3))
    assert (header.product, header.version) == ("tensorrt", Version(10, 3, 0, 30))
    assert header.declared_size is None
    assert not header.truncated


def test_the_older_layout_is_recognised_and_its_version_not_guessed(tmp_path: Path) -> None:
    header = read_header(_written(tmp_path, OLDER_LAYOUT))
    assert header.version is None
    assert header.serialization == 239


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"ft", "neither"),
        (b"\x08\x0a garbage of some length, but no plan", "neither"),
        (b"{}", "neither"),
        (b"\xff\xff\xff\xff{", "neither"),
        (_prefixed(b""), "no engine follows"),
        (_prefixed(b"nothing that anybody knows"), "no engine follows"),
    ],
)
def test_what_is_no_engine_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    path = _written(tmp_path, data)
    assert not is_plan(path)
    assert describe(path) is None
    with pytest.raises(ModelError, match=says) as caught:
        read_header(path)
    assert caught.value.code == "not-an-engine"


@pytest.mark.parametrize("kept", [4, 27])
def test_an_end_inside_the_header_is_truncation(tmp_path: Path, kept: int) -> None:
    with pytest.raises(IntegrityError, match=f"after {kept} bytes"):
        read_header(_written(tmp_path, TENSORRT_10_3[:kept]))


def test_inspect_shows_an_engine(tmp_path: Path, rtx_plan: bytes, run_cli: Cli) -> None:
    done = run_cli("inspect", _written(tmp_path, _prefixed(rtx_plan)))
    assert done.returncode == 0, done.stderr
    assert "TensorRT-RTX 1." in done.stdout
    assert "tail -c +" in done.stdout


def test_inspect_shows_a_truncated_engine_and_exits_7(tmp_path: Path, rtx_plan: bytes, run_cli: Cli) -> None:
    done = run_cli("inspect", _written(tmp_path, rtx_plan[:-7]), "--json")
    assert done.returncode == 7
    result, error = map(json.loads, done.stdout.splitlines())
    assert result["truncated"] is True
    assert error["code"] == "truncated-engine"
