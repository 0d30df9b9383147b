"""The self-test for ONNX Runtime, natively: what passes, what fails, and with which exit status."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgetool.bundle.golden import read_golden, write_golden
from edgetool_onnxruntime.options import OnnxRuntimeOptions
from edgetool_onnxruntime.selftest import device_sources
from tests.device.conftest import tool
from tests.device.selftest import (
    STRICT,
    compiled,
    linear,
    model_of,
    run,
    runtime_library,
    write_bundle_of,
    write_sources,
)

Selftest = Callable[..., CompletedProcess[str]]

KINDS = {
    "bool": TensorProto.BOOL, "int8": TensorProto.INT8, "int16": TensorProto.INT16, "int32": TensorProto.INT32,
    "int64": TensorProto.INT64, "uint8": TensorProto.UINT8, "uint16": TensorProto.UINT16, "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64, "float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16,
    "float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE,
}  # fmt: skip


def test_golden_outputs_agree(selftest: Selftest, bundle: Path) -> None:
    done = selftest(bundle)
    assert done.returncode == 0, done.stderr
    assert "case 0: y: cosine 1.000000, gain 1.0000" in done.stdout
    assert "case 0: best: 100.00% of the values are equal" in done.stdout
    assert done.stdout.endswith("passed\n")
    assert done.stderr == ""


def test_the_bundle_is_the_folder_that_one_is_in(program: Path, bundle: Path) -> None:
    command = [str(program), "--library", str(runtime_library())]
    assert subprocess.run(command, cwd=bundle, capture_output=True, check=False).returncode == 0


def test_all_types_and_ranks(selftest: Selftest, tmp_path: Path) -> None:
    """An identity for each type, with a scalar, an empty tensor and a size that only the golden data know."""
    import ml_dtypes

    shapes: dict[str, tuple[int, ...]] = {"float32": (), "int8": (0, 3), "int64": (2, 1, 3, 1, 2)}
    arrays = {}
    for name in KINDS:
        dtype = np.dtype(getattr(ml_dtypes, name)) if name == "bfloat16" else np.dtype(name)
        arrays[name] = (
            np.arange(np.prod(shapes.get(name, (2, 3))), dtype="int64").reshape(shapes.get(name, (2, 3))).astype(dtype)
        )
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name in KINDS],
        "identities",
        [helper.make_tensor_value_info(name, kind, ["n", *arrays[name].shape[1:]] if arrays[name].ndim else [])
         for name, kind in KINDS.items()],
        [helper.make_tensor_value_info(f"{name}_out", kind, None) for name, kind in KINDS.items()],
    )  # fmt: skip
    outputs = {f"{name}_out": array for name, array in arrays.items()}
    done = selftest(write_bundle_of(tmp_path / "b", model_of(graph), arrays, outputs))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("case 0: ") == len(KINDS)


def test_names_of_any_kind(selftest: Selftest, tmp_path: Path) -> None:
    names = {"x": 'a name with 100% "quotes" $(true)', "y": "größe\n\x1b[31m'\\", "best": "best:0"}
    done = selftest(write_bundle_of(tmp_path / "b", *linear(**names)))
    assert done.returncode == 0, done.stderr
    assert "case 0: größe ?[31m'\\: cosine" in done.stdout  # nothing that a terminal would obey


def test_another_batch_than_the_model_was_made_with(selftest: Selftest, bundle: Path) -> None:
    case = read_golden(bundle / "io")[0]
    twice = [
        {name: np.concatenate([array, array]) for name, array in part.items()} for part in (case.inputs, case.outputs)
    ]
    write_golden(bundle / "io", *twice)
    write_sources(bundle, device_sources(OnnxRuntimeOptions()), "model/model.onnx")
    done = selftest(bundle)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("value", [1e3, np.nan, np.inf])
def test_other_golden_outputs(selftest: Selftest, bundle: Path, value: float) -> None:
    path = bundle / "io" / "case0-output0.bin"
    array = np.fromfile(path, "<f4")
    array[0] = value
    array.tofile(path)
    done = selftest(bundle)
    assert done.returncode == 1
    assert "case 0: y: WRONG: " in done.stderr
    assert "FAILED" in done.stderr


def test_other_golden_integers(selftest: Selftest, bundle: Path) -> None:
    np.array([0, 0], "<i8").tofile(bundle / "io" / "case0-output1.bin")
    done = selftest(bundle, "--quiet")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "best: WRONG: " in done.stderr


def test_another_shape(selftest: Selftest, bundle: Path) -> None:
    edit(bundle, "output float32 2x3 ", "output float32 3x2 ")
    done = selftest(bundle)
    assert done.returncode == 1
    assert "it is float32[2,3], and should be float32[3,2]" in done.stderr


def test_other_weights(selftest: Selftest, bundle: Path) -> None:
    model = onnx.load(bundle / "model" / "model.onnx")
    weights = onnx.numpy_helper.to_array(model.graph.initializer[0])
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights[::-1].copy(), "w"))
    onnx.save(model, bundle / "model" / "model.onnx")
    assert selftest(bundle).returncode == 1


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"\x00" * len(data)]
)
def test_a_damaged_engine(selftest: Selftest, bundle: Path, damage: Callable[[bytes], bytes]) -> None:
    path = bundle / "model" / "model.onnx"
    path.write_bytes(damage(path.read_bytes()))
    done = selftest(bundle)
    assert done.returncode == 3
    assert "edgetool-selftest: the engine" in done.stderr


@pytest.mark.parametrize(
    "missing", ["src/selftest.conf", "model/model.onnx", "io/case0-input0.bin", "io/case0-output1.bin"]
)
def test_a_missing_file_is_named(selftest: Selftest, bundle: Path, missing: str) -> None:
    (bundle / missing).unlink()
    done = selftest(bundle)
    assert done.returncode == 3
    assert missing in done.stderr


def test_an_engine_elsewhere(selftest: Selftest, bundle: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.onnx"
    (bundle / "model" / "model.onnx").rename(elsewhere)
    assert selftest("--engine", elsewhere, bundle).returncode == 0
    assert selftest("--engine", tmp_path / "nowhere.onnx", bundle).returncode == 3


def test_latency(selftest: Selftest, bundle: Path) -> None:
    done = selftest("--repeat", "20", bundle)
    assert done.returncode == 0
    line = next(line for line in done.stdout.splitlines() if line.startswith("latency: "))
    assert line.endswith(" ms in 20 runs")
    assert float(line.split()[2]) > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--frobnicate"], "unknown option '--frobnicate'"),
        (["--threads"], "--threads wants a value"),
        (["--threads", "0"], "--threads wants a number"),
        (["--repeat", "ten"], "--repeat wants a number"),
        (["--repeat", "99999999999999999999"], "--repeat wants a number"),
        (["--engine", ""], "--engine wants a value"),
        (["one", "two"], "one bundle at a time"),
    ],
)
def test_wrong_usage(program: Path, arguments: list[str], said: str) -> None:
    done = run([program], *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "usage: " in done.stderr


def test_help(program: Path) -> None:
    done = run([program], "--help")
    assert done.returncode == 0
    assert "exit status: 0 " in done.stdout


def test_libraries_that_are_none(program: Path, bundle: Path) -> None:
    missing = run([program], "--library", "/nowhere/libonnxruntime.so", bundle)
    assert missing.returncode == 3
    assert "/nowhere/libonnxruntime.so" in missing.stderr
    wrong = run([program], "--library", "libm.so.6", bundle)
    assert wrong.returncode == 3
    assert "libm.so.6 is not ONNX Runtime" in wrong.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("edgetool-selftest 1\n", "edgetool-selftest 2\n", "edgetool-selftest 1"),
        ("runtime onnxruntime", "runtime openvino", "for openvino, and this self-test for onnxruntime"),
        ("entry model/model.onnx", "entry ../model.onnx", "not inside the bundle"),
        ("entry model/model.onnx", "entry /model.onnx", "not inside the bundle"),
        ("entry model/model.onnx", "entry model/%2E./model.onnx", "not inside the bundle"),
        ("io/case0-input0.bin", "io/../../secret", "no sound path"),
        ("io/case0-input0.bin", "io//case0-input0.bin", "no sound path"),
        ("float32 2x4", "float32 2x5", "has 32 bytes, and 40 are expected"),
        ("float32 2x4", "float32 2x3", "has 32 bytes, and 24 are expected"),
        ("float32 2x4", "float32 2x-4", "is no shape"),
        ("float32 2x4", "float32 4611686018427387904x4", "is no shape"),
        ("float32 2x4", "float32 99999999999999999999", "is no shape"),
        ("float32 2x4", "float32 " + "1x" * 16 + "8", "is no shape"),
        ("float32 2x4", "string 2x4", "type string, which this self-test cannot"),
        ("float32 2x4", "float8_e4m3fn 2x4", "type float8_e4m3fn, which this self-test cannot"),
        ("min-cosine 0.999", "min-cosine nan", "is no cosine"),
        ("min-cosine 0.999", "min-cosine 0", "is no cosine"),
        ("min-cosine 0.999\n", "", "it lacks"),
        ("min-cosine 0.999", "frob 1", "'frob' is nothing"),
        ("case\n", "", "'input' is nothing"),
        ("set provider CPU", "set provider%2", "is no setting"),
        ("set provider CPU", "set provider Frob", "Frob"),
        ("set provider CPU", "set frob 1", "'frob' is no setting of ONNX Runtime"),
        ("set provider CPU", "set entry frob", "'frob' is no session entry"),
        ("graph_optimization all", "graph_optimization most", "no level of graph optimization"),
        ("case0-input0.bin x", "case0-input0.bin z", "z"),
        ("case0-output0.bin y", "case0-output0.bin z", "z"),
    ],
)
def test_a_wrong_configuration(selftest: Selftest, bundle: Path, old: str, new: str, said: str) -> None:
    edit(bundle, old, new)
    done = selftest(bundle)
    assert done.returncode == 3
    assert said in done.stderr


def test_a_configuration_without_outputs_proves_nothing(selftest: Selftest, bundle: Path) -> None:
    path = bundle / "src" / "selftest.conf"
    path.write_text(
        "".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith("output"))
    )
    done = selftest(bundle)
    assert done.returncode == 3
    assert "it proves nothing" in done.stderr


def test_a_configuration_that_is_no_text(selftest: Selftest, bundle: Path) -> None:
    path = bundle / "src" / "selftest.conf"
    path.write_bytes(path.read_bytes() + b"\0entry model/other\n")
    assert selftest(bundle).returncode == 3


def test_options_of_the_target_are_kept(tmp_path: Path, selftest: Selftest) -> None:
    options = OnnxRuntimeOptions(
        graph_optimization="basic",
        execution_mode="parallel",
        inter_op_threads=2,
        session_entries={"session.dynamic_block_base": "4"},
    )
    bundle = write_bundle_of(tmp_path / "b", *linear(), options)
    text = (bundle / "src" / "selftest.conf").read_text()
    for line in ("set graph_optimization basic", "set execution_mode parallel", "set inter_op_threads 2",
                 "set entry session.dynamic_block_base=4"):  # fmt: skip
        assert line in text.splitlines()
    assert selftest(bundle).returncode == 0


def test_options_of_a_provider_follow_it() -> None:
    options = OnnxRuntimeOptions(
        providers=["CUDAExecutionProvider", "CPUExecutionProvider"],
        provider_options={"CUDAExecutionProvider": {"device_id": "1"}},
    )
    settings = device_sources(options).settings
    assert settings[-3:] == (("provider", "CUDA"), ("provider_option", "device_id=1"), ("provider", "CPU"))


def test_golden_data_that_a_device_cannot_feed(selftest: Selftest, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "words",
        [helper.make_tensor_value_info("x", TensorProto.STRING, [2])],
        [helper.make_tensor_value_info("y", TensorProto.STRING, [2])],
    )
    words = {"x": np.array(["a", "b"], object)}
    done = selftest(write_bundle_of(tmp_path / "b", model_of(graph), words, {"y": words["x"]}))
    assert done.returncode == 3
    assert "'x' has elements of type string" in done.stderr


@pytest.mark.slow
def test_with_the_official_header(bundle: Path, tmp_path: Path) -> None:
    """The option of CMake that takes it; a header with the same declarations takes its place here."""
    cmake = tool("cmake")
    include, build = tmp_path / "include", tmp_path / "build"
    include.mkdir()
    shutil.copy(bundle / "src" / "ort_table.h", include / "onnxruntime_c_api.h")
    (bundle / "src" / "ort_table.h").unlink()
    configured = run([cmake], "-S", bundle / "src", "-B", build, f"-DONNXRUNTIME_INCLUDE_DIR={include}")
    assert configured.returncode == 0, configured.stderr
    assert run([cmake], "--build", build).returncode == 0
    assert run([build / "edgetool-selftest"], "--library", runtime_library(), bundle).returncode == 0


@pytest.mark.slow
def test_no_undefined_behaviour_and_no_leak(original: Path, tmp_path: Path) -> None:
    """Under the sanitizers, with configurations that are damaged at random."""
    flags = ("-std=c11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    program = compiled(tmp_path, original / "src", *flags, compiler=tool("gcc"))
    call = [program, "--library", runtime_library(), "--threads", "1"]
    # What ONNX Runtime keeps until the end is its own.
    (tmp_path / "known").write_text("leak:libonnxruntime\n")
    env = {"LSAN_OPTIONS": f"suppressions={tmp_path / 'known'}:print_suppressions=0"}
    done = run(call, "--repeat", "3", original, env=env)
    assert done.returncode == 0, done.stderr
    generator = np.random.default_rng(0)
    bundle = Path(shutil.copytree(original, tmp_path / "net.edgebundle"))
    text = (original / "src" / "selftest.conf").read_bytes()
    for _ in range(120):
        damaged = bytearray(text)
        for _ in range(generator.integers(1, 4)):
            place = int(generator.integers(20, len(damaged)))
            match generator.integers(3):
                case 0:
                    damaged[place] = int(generator.integers(256))
                case 1:
                    del damaged[place : place + int(generator.integers(1, 30))]
                case _:
                    damaged[place:place] = damaged[place : place + int(generator.integers(1, 60))]
        (bundle / "src" / "selftest.conf").write_bytes(damaged)
        done = run(call, bundle, env=env)
        assert done.returncode in (0, 1, 3), f"{damaged!r}\n{done.stderr}"
        assert "Sanitizer" not in done.stderr, f"{damaged!r}\n{done.stderr}"


@pytest.mark.slow
def test_the_analyzer_finds_nothing(original: Path, tmp_path: Path) -> None:
    for source in sorted((original / "src").glob("*.c")):
        command = [tool("gcc"), *STRICT, "-fanalyzer", "-c", str(source), "-o", str(tmp_path / "object.o")]
        done = run(command)
        assert done.returncode == 0, done.stderr


def test_golden_index_and_configuration_say_the_same(bundle: Path) -> None:
    index = json.loads((bundle / "io" / "index.json").read_text())
    lines = (bundle / "src" / "selftest.conf").read_text().splitlines()
    assert f"min-cosine {index['min_cosine']}" in lines
    for kind in ("input", "output"):
        rows = [f"{kind} {row['dtype']} {'x'.join(map(str, row['shape']))} io/{row['file']} {row['name']}"
                for row in index["cases"][0][f"{kind}s"]]  # fmt: skip
        assert [line for line in lines if line.startswith(f"{kind} ")] == rows


def edit(bundle: Path, old: str, new: str) -> None:
    path = bundle / "src" / "selftest.conf"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
