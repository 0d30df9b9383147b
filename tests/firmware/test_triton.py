"""`triton`: configurations that NVIDIA's own protobuf definition reads, for engines that the runtimes open."""

from __future__ import annotations

import importlib.util
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetool.errors import ConfigError, ModelError
from edgetool.exporters.package import Package
from edgetool.signature import DimRange, TensorSpec
from tests.firmware.bundles import ORIN

Run = Callable[..., Package]
Make = Callable[..., Path]
Read = Callable[[Package], Any]


@pytest.fixture(scope="session")
def definition() -> Any:
    """`model_config_pb2` of tritonclient, loaded by itself: the package around it wants gRPC."""
    package = importlib.util.find_spec("tritonclient")
    if package is None or package.submodule_search_locations is None:
        if os.environ.get("CI"):
            pytest.fail("CI must install tritonclient")
        pytest.skip("tritonclient is not installed: pip install --no-deps tritonclient")
    path = Path(package.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("triton_model_config_pb2", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def read(definition: Any) -> Read:
    """The configuration as protobuf reads it; unknown fields and words are errors."""
    from google.protobuf import text_format

    def parse(done: Package) -> Any:
        (model,) = done.path.iterdir()
        return text_format.Parse((model / "config.pbtxt").read_text(), definition.ModelConfig())

    return parse


def test_the_repository_of_a_real_bundle(bundle: Path, package: Run, read: Read) -> None:
    done = package(bundle, "triton")
    config = read(done)
    assert done.path.name == "tiny-1.0.0-ort-triton"
    assert config.name == "tiny"
    assert (done.path / "tiny" / "1" / config.default_model_filename).is_file()
    assert config.backend == "onnxruntime"
    assert [(row.name, list(row.dims)) for row in config.input] == [("x", [-1, 3, 8, 8])]
    assert config.max_batch_size == 0, "no range is known of the batch"
    assert config.instance_group[0].kind == config.instance_group[0].KIND_CPU
    assert config.metric_tags["model_version"] == "1.0.0"


@pytest.mark.parametrize("max_batch_size", [None, 0])
def test_onnx_runtime_runs_what_the_configuration_says(
    tmp_path: Path, make_bundle: Make, package: Run, read: Read, definition: Any, max_batch_size: int | None
) -> None:
    """The warm-up data go into the engine in the configured shapes, and outputs of the configured shapes come out."""
    import onnxruntime

    from edgetool.testing.models import tiny_cnn

    model = tiny_cnn(tmp_path)
    made = make_bundle(
        files={"engine.onnx": model.path.read_bytes()},
        inputs=model.signature.inputs,
        outputs=model.signature.outputs,
        dims=model.signature.dims,
    )
    done = package(made, "triton", options={} if max_batch_size is None else {"max_batch_size": 0})
    config = read(done)
    folder = done.path / config.name
    session = onnxruntime.InferenceSession(folder / "1" / config.default_model_filename)
    (warmup,) = config.model_warmup
    sample = warmup.inputs["x"]
    data = np.frombuffer((folder / "warmup" / sample.input_data_file).read_bytes(), np.float32)
    batch = [1] if config.max_batch_size else []
    (output,) = session.run(None, {"x": data.reshape(*batch, *sample.dims)})
    dims = list(config.output[0].dims)
    assert len(output.shape) == len(batch) + len(dims)
    assert all(size in (-1, got) for size, got in zip(dims, output.shape[len(batch) :], strict=True))
    assert (config.max_batch_size, dims) == ((4, [4]) if max_batch_size is None else (0, [-1, 4]))
    assert definition.DataType.Name(sample.data_type) == "TYPE_FP32"


def test_external_data_and_names_stay_together(make_bundle: Make, package: Run, read: Read) -> None:
    done = package(make_bundle(files={"net.onnx": b"n", "data/weights.bin": b"w"}), "triton")
    version = done.path / "net" / "1"
    assert read(done).default_model_filename == "net.onnx"
    assert (version / "net.onnx").read_bytes() == b"n"
    assert (version / "data" / "weights.bin").read_bytes() == b"w"


def _specs(*shapes: tuple[int | str | None, ...]) -> list[TensorSpec]:
    return [TensorSpec(f"t{index}", "float32", shape) for index, shape in enumerate(shapes)]


@pytest.mark.parametrize(
    ("inputs", "outputs", "limits", "batch", "dims"),
    [
        ([("n", 3)], [("n", 2)], {"n": (1, 8)}, 8, [[3], [2]]),
        ([("n", 3, "h")], [("n", None)], {"n": (1, 8)}, 8, [[3, -1], [-1]]),
        ([("n",)], [("n",)], {"n": (1, 4)}, 4, [[1], [1]]),
        ([("n", 3)], [(1, 2)], {"n": (1, 8)}, 0, [[-1, 3], [1, 2]]),
        ([("n", 3), ("m", 3)], [("n", 2)], {"n": (1, 8), "m": (1, 8)}, 0, [[-1, 3], [-1, 3], [-1, 2]]),
        ([("n", 3)], [(None, 2)], {"n": (1, 8)}, 0, [[-1, 3], [-1, 2]]),
        ([("n", 3)], [("n", 2)], {"n": (2, 8)}, 0, [[-1, 3], [-1, 2]]),
        ([("n", 3)], [("n", 2)], {}, 0, [[-1, 3], [-1, 2]]),
        ([(1, 3)], [(1, 2)], {}, 0, [[1, 3], [1, 2]]),
    ],
)
def test_where_the_batch_is(
    make_bundle: Make,
    package: Run,
    read: Read,
    inputs: list[tuple[int | str | None, ...]],
    outputs: list[tuple[int | str | None, ...]],
    limits: dict[str, tuple[int, int]],
    batch: int,
    dims: list[list[int]],
) -> None:
    specs = _specs(*inputs, *outputs)
    made = make_bundle(
        inputs=specs[: len(inputs)],
        outputs=specs[len(inputs) :],
        dims={name: DimRange(low, low, high) for name, (low, high) in limits.items()},
    )
    config = read(package(made, "triton"))
    assert config.max_batch_size == batch
    assert [list(row.dims) for row in (*config.input, *config.output)] == dims
    assert config.HasField("dynamic_batching") == (batch > 1)


def test_the_user_may_know_how_large_the_batch_can_be(bundle: Path, package: Run, read: Read) -> None:
    config = read(package(bundle, "triton", options={"max_batch_size": 16}))
    assert config.max_batch_size == 16
    assert list(config.input[0].dims) == [3, 8, 8]


def test_a_scalar_a_sample(make_bundle: Make, package: Run, read: Read) -> None:
    made = make_bundle(inputs=[TensorSpec("x", "int64", ("batch",))])
    done = package(made, "triton")
    (given,) = read(done).input
    assert list(given.dims) == [1]
    assert given.HasField("reshape")
    assert list(given.reshape.shape) == []
    with pytest.raises(ModelError, match="has no scalars"):
        package(make_bundle(inputs=[TensorSpec("x", "int64", ())], golden=False), "triton")


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("bool", "TYPE_BOOL"),
        ("uint8", "TYPE_UINT8"),
        ("uint16", "TYPE_UINT16"),
        ("uint32", "TYPE_UINT32"),
        ("uint64", "TYPE_UINT64"),
        ("int8", "TYPE_INT8"),
        ("int16", "TYPE_INT16"),
        ("int32", "TYPE_INT32"),
        ("int64", "TYPE_INT64"),
        ("float16", "TYPE_FP16"),
        ("float32", "TYPE_FP32"),
        ("float64", "TYPE_FP64"),
        ("string", "TYPE_STRING"),
    ],
)
def test_types(make_bundle: Make, package: Run, read: Read, definition: Any, dtype: str, expected: str) -> None:
    config = read(package(make_bundle(inputs=[TensorSpec("x", dtype, ("batch", 2))]), "triton"))
    assert definition.DataType.Name(config.input[0].data_type) == expected
    assert definition.DataType.Name(config.model_warmup[0].inputs["x"].data_type) == expected


def test_warm_up_strings_have_their_length_before_them(make_bundle: Make, package: Run, read: Read) -> None:
    done = package(make_bundle(inputs=[TensorSpec("x", "string", ("batch", 2))]), "triton")
    assert (done.path / "net" / "warmup" / "0").read_bytes() == 2 * (struct.pack("<I", 4) + b"text")
    assert list(read(done).model_warmup[0].inputs["x"].dims) == [2]


def test_warm_up_is_of_one_sample(make_bundle: Make, package: Run, read: Read) -> None:
    done = package(make_bundle(dims={"batch": DimRange(1, 5, 8)}), "triton")
    assert (done.path / "net" / "warmup" / "0").stat().st_size == 3 * 4
    assert not read(package(make_bundle(golden=False), "triton", overwrite=True)).model_warmup
    assert not read(package(make_bundle(), "triton", options={"warmup": False}, overwrite=True)).model_warmup


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "new\nline", "größe/0:x", "\\1", "}"])
def test_odd_names_of_tensors_are_data(make_bundle: Make, package: Run, read: Read, name: str) -> None:
    config = read(package(make_bundle(inputs=[TensorSpec(name, "float32", ("batch", 3))]), "triton"))
    assert config.input[0].name == name
    assert list(config.model_warmup[0].inputs) == [name]


@pytest.mark.parametrize("name", ["my net", "../up", "$(id)", 'x"', "网络", "-rf", ".hidden"])
def test_odd_names_of_models_are_refused(make_bundle: Make, package: Run, name: str) -> None:
    with pytest.raises(ModelError) as caught:
        package(make_bundle(name=name), "triton")
    assert caught.value.code == "name-unsafe"
    assert package(make_bundle(name=name), "triton", options={"name": "net"}).facts["name"] == "net"


def test_options(make_bundle: Make, package: Run, read: Read) -> None:
    options = {
        "name": "renamed",
        "model_version": 7,
        "max_batch_size": 100,
        "dynamic_batching": False,
        "instances": 2,
        "device": "gpu",
        "parameters": {"intra_op_thread_count": "2", 'q"': "\n"},
    }
    done = package(make_bundle(), "triton", options=options)
    config = read(done)
    assert (done.path / "renamed" / "7" / "engine.onnx").is_file()
    assert config.max_batch_size == 8, "no more than the network takes"
    assert not config.HasField("dynamic_batching")
    assert (config.instance_group[0].count, config.instance_group[0].kind) == (2, 1)
    assert {key: value.string_value for key, value in config.parameters.items()} == options["parameters"]
    for wrong in ({"model_version": 0}, {"max_batch_size": -1}, {"device": "tpu"}, {"instances": 0}, {"x": 1}):
        with pytest.raises(ConfigError) as caught:
            package(make_bundle(), "triton", options=wrong, overwrite=True)
        assert caught.value.code == "invalid-package-option"


def test_other_runtimes(make_bundle: Make, package: Run, read: Read) -> None:
    plan = make_bundle(
        runtime="tensorrt", runtime_version="10.3.0", facts=ORIN, target="orin", files={"engine.plan": b"plan"}
    )
    config = read(package(plan, "triton"))
    assert (config.backend, config.default_model_filename) == ("tensorrt", "engine.plan")
    assert config.instance_group[0].kind == config.instance_group[0].KIND_GPU
    network = make_bundle(runtime="openvino", target="ov", files={"model.xml": b"<net/>", "model.bin": b"w"})
    done = package(network, "triton")
    assert read(done).backend == "openvino"
    assert sorted(path.name for path in (done.path / "net" / "1").iterdir()) == ["model.bin", "model.xml"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"runtime": "tensorrt", "runtime_facts": {"kind": "kit"}, "files": {"model.onnx": b""}}, "is a kit"),
        ({"runtime": "tensorrt", "runtime_facts": {"product": "tensorrt-rtx"}}, "not of TensorRT-RTX"),
        ({"runtime": "c", "files": {"net.c": b""}}, "no backend for engines of c"),
        ({"files": {"model.ort": b""}}, "loads .onnx files"),
        ({"runtime": "openvino", "files": {"model.blob": b""}}, "loads .xml files"),
        ({"files": {"sub/model.onnx": b""}}, "folder of its own"),
        ({"inputs": [TensorSpec("x", "bfloat16", ("batch", 1))], "golden": False}, "no tensors of bfloat16: 'x'"),
        ({"inputs": [TensorSpec("x", "int4", ("batch", 1))], "golden": False}, "no tensors of int4"),
        (
            {
                "runtime": "openvino",
                "files": {"model.xml": b"", "model.bin": b""},
                "outputs": [TensorSpec("y", "string", ("batch", 1))],
                "golden": False,
            },
            "no tensors of string: 'y'",
        ),
    ],
)
def test_what_triton_cannot_serve(make_bundle: Make, package: Run, fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ModelError) as caught:
        package(make_bundle(**fields), "triton")
    assert caught.value.code == "not-packageable"
    assert reason in str(caught.value)
    assert caught.value.hint


def test_equal_bundles_give_equal_bytes(make_bundle: Make, package: Run) -> None:
    def files(path: Path) -> dict[str, bytes]:
        return {str(row.relative_to(path)): row.read_bytes() for row in path.rglob("*") if row.is_file()}

    made = make_bundle()
    first = files(package(made, "triton").path)
    assert files(package(made, "triton", overwrite=True).path) == first


def test_a_changed_byte_of_the_configuration_is_found(make_bundle: Make, package: Run, read: Read) -> None:
    """Of the protobuf check this is all: an engine that was changed is for the bundle's own hashes to find."""
    from google.protobuf import text_format

    done = package(make_bundle(), "triton")
    config = done.path / "net" / "config.pbtxt"
    config.write_text(config.read_text().replace("TYPE_FP32", "TYPE_FP33", 1))
    with pytest.raises(text_format.ParseError):
        read(done)
