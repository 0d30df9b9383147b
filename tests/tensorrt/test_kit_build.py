"""What a kit consists of: the typed ONNX, what the script knows of its target, and command lines by version."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgetool.artifact import Engine, Model
from edgetool.backends import BuildContext, Site
from edgetool.errors import ConfigError, ModelError
from edgetool.explain import explanations
from edgetool.graph import read_model
from edgetool.qdq.ranges import Range
from edgetool.testing.models import tiny_cnn, tiny_int8_cnn, tiny_mlp
from edgetool_tensorrt import kit
from edgetool_tensorrt.kit import probe
from edgetool_tensorrt.kit.reasons import extended, reason_lines
from edgetool_tensorrt.kit.target import releases_of
from edgetool_tensorrt.options import TensorRtOptions
from tests.tensorrt.dla_files import with_ranges

SCRIPT = Path(kit.__file__).parent / "script"
FACTS: dict[str, Any] = {"arch": "aarch64", "soc": "tegra234", "sm": 87, "tensorrt": "10.3.0", "jetpack": "6.2"}


def make(model: Model, folder: Path, facts: dict[str, Any] | None = None, **options: Any) -> Engine:
    folder.mkdir(exist_ok=True)
    site = Site("kit", facts=FACTS if facts is None else facts)
    return kit.build(model, folder, TensorRtOptions(**options), site, BuildContext(threads=1))


def lines(folder: Path, name: str) -> list[str]:
    return (folder / "kit" / name).read_text().splitlines()


def test_a_kit_holds_the_network_byte_for_byte(tmp_path: Path) -> None:
    model = tiny_cnn(tmp_path)
    engine = make(model, tmp_path / "kit")
    assert engine.path.read_bytes() == model.path.read_bytes()
    assert (engine.entry, engine.precision, engine.lowerings) == ("model.onnx", "float32", ())
    assert engine.facts["kind"] == "kit"
    target = lines(engine.directory, "target")
    for line in ("arch aarch64", "soc tegra234", "sm 87", "tensorrt 10.3.0", "l4t 36.4.3", "input 0 varies x"):
        assert line in target
    assert not [line for line in target if line.startswith("l4t 36.3")]


def test_external_data_travels_along(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "data").mkdir(parents=True)
    model = tiny_mlp(tmp_path)
    onnx.save(
        onnx.load(model.path), source / "net.onnx", save_as_external_data=True, location="data.bin", size_threshold=0
    )
    engine = make(read_model(source / "net.onnx"), tmp_path / "kit")
    assert (engine.directory / "data.bin").read_bytes() == (source / "data.bin").read_bytes()
    assert f"model_bytes {sum(p.stat().st_size for p in source.iterdir() if p.is_file())}" in lines(
        engine.directory, "target"
    )


def test_external_data_cannot_take_the_place_of_the_script(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    path = tmp_path / "source" / "net.onnx"
    model = tiny_mlp(tmp_path)
    onnx.save(onnx.load(model.path), path, save_as_external_data=True, location="build-engine.sh", size_threshold=0)
    with pytest.raises(ModelError) as caught:
        make(read_model(path), tmp_path / "kit")
    assert caught.value.code == "unsafe-file-name"


@pytest.mark.parametrize(
    ("version", "build", "never"),
    [
        ("8.2.1", ["need --buildOnly", "want --workspace=1024"], ["stronglyTyped", "memPoolSize", "skipInference"]),
        ("8.5.2", ["need --buildOnly"], ["stronglyTyped", "--workspace", "skipInference"]),
        ("8.6.2", ["need --skipInference"], ["stronglyTyped", "buildOnly"]),
        ("10.3.0", ["need --skipInference", "need --stronglyTyped"], ["--fp16", "--int8"]),
        ("10.16.2", ["need --skipInference", "need --stronglyTyped"], ["--fp16", "--int8"]),
        ("11.1.0", ["need --skipInference"], ["stronglyTyped", "--fp16", "--int8"]),
    ],
)
def test_the_command_line_is_that_of_the_version(
    tmp_path: Path, version: str, build: list[str], never: list[str]
) -> None:
    engine = make(tiny_cnn(tmp_path), tmp_path / "kit", {**FACTS, "tensorrt": version})
    found = lines(engine.directory, "build-arguments")
    assert {"need --onnx=@MODEL@", "need --saveEngine=engine.plan", "need --optShapes=x:2x3x8x8"} <= set(found)
    assert set(build) <= set(found)
    assert not [line for line in found for word in never if word in line]
    assert "need --loadInputs=x:input0.bin" in lines(engine.directory, "run-arguments")


def test_old_releases_are_permitted_what_the_network_says(tmp_path: Path) -> None:
    engine = make(tiny_int8_cnn(tmp_path), tmp_path / "kit", {**FACTS, "tensorrt": "8.5.2"})
    assert engine.precision == "int8"
    found = lines(engine.directory, "build-arguments")
    assert "need --int8" in found
    assert "need --fp16" not in found


def test_int8_for_an_old_dla_is_lowered_and_recorded(tmp_path: Path) -> None:
    model = tiny_int8_cnn(tmp_path)
    with pytest.raises(ModelError, match="'c2', 'r2'"):
        make(model, tmp_path / "refused", dla_core=0)
    ranges = with_ranges(model.path, c2=Range(-4.0, 4.0), r2=Range(0.0, 4.0))
    engine = make(Model(ranges, model.signature), tmp_path / "kit", dla_core=0)
    assert "qdq-to-calibration-cache" in {lowering.name for lowering in engine.lowerings}
    assert (engine.directory / "calib.cache").read_text().startswith("TRT-100300-EntropyCalibration2\n")
    found = lines(engine.directory, "build-arguments")
    assert {"need --calib=@CALIBRATION@", "need --int8", "need --fp16", "need --useDLACore=0"} <= set(found)
    operators = {node.op_type for node in onnx.load(engine.path).graph.node}
    assert not operators & {"QuantizeLinear", "DequantizeLinear"}
    assert "need --useDLACore=0" in lines(engine.directory, "run-arguments")


def test_options_reach_the_command_line(tmp_path: Path) -> None:
    engine = make(
        tiny_cnn(tmp_path), tmp_path / "kit", workspace=512, optimization_level=2, timing_cache=False,
        trtexec="/opt/trt exec", stand_in="a PC",
    )  # fmt: skip
    found = lines(engine.directory, "build-arguments")
    assert {"want --memPoolSize=workspace:512", "want --builderOptimizationLevel=2"} <= set(found)
    assert not [line for line in found if "timingCacheFile" in line]
    assert {"trtexec /opt/trt exec", "stand_in a PC"} <= set(lines(engine.directory, "target"))


@pytest.mark.parametrize("name", ["x;reboot", "x y", "x,y", "x'", "$(x)", "x\ny"])
def test_unsafe_names_are_refused(tmp_path: Path, name: str) -> None:
    model = tiny_mlp(tmp_path)
    proto = onnx.load(model.path)
    for node in proto.graph.node:
        node.input[:] = [name if one == "x" else one for one in node.input]
    proto.graph.input[0].name = name
    onnx.save(proto, tmp_path / "unsafe.onnx")
    with pytest.raises(ModelError) as caught:
        make(read_model(tmp_path / "unsafe.onnx"), tmp_path / "kit")
    assert caught.value.code == "unsafe-tensor-name"


@pytest.mark.parametrize(
    ("facts", "missing"),
    [
        ({}, ["sm", "tensorrt"]),
        ({"sm": 87}, ["tensorrt"]),
        ({"tensorrt": "10.3.0"}, ["sm"]),
        ({"sm": "many", "tensorrt": "ten"}, ["sm", "tensorrt"]),
        ({"sm": True, "tensorrt": 10.3}, ["sm", "tensorrt"]),
    ],
)
def test_facts_that_nobody_could_ask_for(tmp_path: Path, facts: dict[str, Any], missing: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        make(tiny_mlp(tmp_path), tmp_path / "kit", facts)
    assert caught.value.code == "missing-facts"
    found = probe.availability(TensorRtOptions(), Site("kit", facts=facts))
    assert not found.can_build
    for name in missing:
        assert f"{name} = " in str(caught.value.hint)
        assert f"{name} = " in str(found.fix)


def test_a_kit_builds_anywhere_and_runs_nowhere() -> None:
    found = probe.availability(TensorRtOptions(), Site("kit", facts=FACTS))
    assert (found.can_build, found.can_run, found.version) == (True, False, "10.3.0")
    assert "build-engine.sh" in str(found.fix) and "edgetool validate BUNDLE --on" in str(found.fix)


def test_a_jetpack_stands_for_its_series() -> None:
    assert {"36.4.3", "36.4.4", "36.5.0"} <= set(releases_of("6.2"))
    assert set(releases_of("6.2.1")) == {"36.4.4", "36.4.7"}
    assert "36.3.0" in releases_of("6") and "36.3.0" not in releases_of("6.2")
    assert releases_of("99") == ()


def test_every_code_of_the_script_has_a_page() -> None:
    texts = {path: path.read_text() for path in SCRIPT.rglob("*.sh")}
    said = {
        (code, int(number)) for text in texts.values() for number, code in re.findall(r"fail (\d+) ([a-z0-9-]+)", text)
    }
    assert len(said) > 10
    pages = explanations()
    assert not {code for code, _ in said if code not in pages}
    assert not {(code, number) for code, number in said if pages[code].exit_code != number}


SAID = (
    "[E] Error[1]: [defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)",
    "[W] [TRT] Requested amount of GPU memory (15485030400 bytes) could not be allocated.",
    "[E] Error[10]: Could not find any implementation for node {ForeignNode[a...b]}.",
    "[E] Tactic Device request: 13089MB Available: 9185MB. Device memory is insufficient to use tactic.",
    "[E] Error[1]: [stdArchiveReader.cpp::StdArchiveReader::42] Error Code 1: Serialization (Serialization assertion "
    "stdVersionRead == kSERIALIZATION_VERSION failed.Version tag does not match. Note: Current Version: 240, "
    "Serialized Engine Version: 239)",
    "[E] The engine plan file is generated on an incompatible device, expecting compute 7.5 got compute 6.1",
    "[E] Unknown option: --stronglyTyped ",
    "[W] Dynamic dimensions required for input: x, but no shapes were provided. Automatically overriding shape to: 1x3",
    "Target GPU SM 87 is not supported by this TensorRT release (checkCurrentSMEnabled)",
    "[E] In node 3 with name: top and operator: Unique (parseNode): UNSUPPORTED_NODE: false",
    "bash: line 1:  4242 Killed                  trtexec --onnx=a.onnx",
    "trtexec: error while loading shared libraries: libnvinfer.so.10: cannot open shared object file",
    "[E] Saving engine to file failed.",
    "[E] Unexpected file size for input file: x.bin. Note: Input binding size is: 4 bytes but the file has 8 bytes.",
    "[I] Engine built in 61.2 sec.",
    "[I] === Device Information ===",
)


def test_reasons_say_to_grep_what_they_say_to_python(require_tool: Callable[[str], str]) -> None:
    import tomllib

    from edgetool_tensorrt import trtexec

    table = tomllib.loads((Path(trtexec.__file__).parent / "reasons.toml").read_text())["reason"]
    assert [line.split("\t")[1] for line in reason_lines().splitlines()] == [row["code"] for row in table]
    assert all(len(line.split("\t")) == 6 for line in reason_lines().splitlines())
    for program in ((require_tool("grep"),), (require_tool("busybox"), "grep")):
        for row in table:
            done = subprocess.run(
                [*program, "-n", "-E", "-e", extended(row["pattern"])],
                input="\n".join(SAID), capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode in (0, 1), (row["code"], done.stderr)
            found = [int(line.partition(":")[0]) - 1 for line in done.stdout.splitlines()]
            assert found == [index for index, line in enumerate(SAID) if re.search(row["pattern"], line)], row["code"]


@pytest.fixture(params=["mawk", "busybox awk"])
def awk(request: pytest.FixtureRequest, require_tool: Callable[[str], str]) -> list[str]:
    program, *more = str(request.param).split()
    return [require_tool(program), *more]


@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "bool"]
)
def test_bytes_are_read_as_numbers(awk: list[str], dtype: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    if dtype.startswith("float"):
        with np.errstate(over="ignore"):
            extremes = np.array([0, -0.0, np.nan, np.inf, -np.inf, 1e-7, -65504, 6e-8, 1e38, 3.5], "float64")
            values = np.concatenate([generator.normal(size=50), extremes]).astype(dtype)
    elif dtype == "bool":
        values = np.array([True, False, True])
    else:
        low, high = max(np.iinfo(dtype).min, -(2**53)), min(np.iinfo(dtype).max, 2**53)  # beyond, a double is not exact
        values = np.array([0, 1, 77, low, high, *generator.integers(low, high, size=30)], dtype)
    (tmp_path / "values").write_bytes(values.tobytes())
    listing = subprocess.run(
        ["od", "-A", "n", "-v", "-t", "u1", tmp_path / "values"], capture_output=True, text=True, check=True
    ).stdout
    printed = subprocess.run(
        [*awk, "-v", f"dtype={dtype}", "-f", SCRIPT / "kit" / "numbers.awk"],
        input=listing, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    read = np.array([float(word) for word in printed])
    np.testing.assert_allclose(read, values.astype("float64"), rtol=1e-8, atol=0)


@pytest.mark.parametrize(
    ("values", "fits"), [([0, 1, -1, 2**31 - 1, -(2**31)], True), ([2**31], False), ([-(2**31) - 1], False), ([], True)]
)
def test_int64_is_narrowed_where_it_fits(awk: list[str], tmp_path: Path, values: list[int], fits: bool) -> None:
    (tmp_path / "values").write_bytes(np.array(values, "int64").tobytes())
    listing = subprocess.run(
        ["od", "-A", "n", "-v", "-t", "o1", tmp_path / "values"], capture_output=True, text=True, check=True
    ).stdout
    done = subprocess.run(
        [*awk, "-f", SCRIPT / "kit" / "narrow.awk"], input=listing, capture_output=True, text=True, check=False
    )
    assert done.returncode == (0 if fits else 1), done.stderr
    if fits:
        words = [int(word, 8) for word in done.stdout.split("\\") if word]
        assert bytes(words) == np.array(values, "int32").tobytes()


@pytest.mark.parametrize(
    ("golden", "values", "dtype", "verdict"),
    [
        ("1 2 3", "1 2 3", "float32", "ok"),
        ("1 2 3", "1 2 3.0001", "float32", "ok"),
        ("1 2 3", "3 2 1", "float32", "wrong"),
        ("1 2 3", "2 4 6", "float32", "wrong"),  # the cosine is blind to that
        ("1 2 3", "1 2 nan", "float32", "wrong"),
        ("1 2 3", "1 2 -inf", "float32", "wrong"),
        ("nan inf 3", "nan inf 3", "float32", "ok"),
        ("nan inf 3", "-nan inf 3", "float32", "ok"),
        ("nan -inf 3", "nan inf 3", "float32", "wrong"),
        ("1 2 3", "1 2", "float32", "wrong"),
        ("1 2", "1 2 3", "float32", "wrong"),
        ("1 2", "", "float32", "wrong"),
        ("", "", "float32", "ok"),
        ("0 0", "0 0", "float32", "ok"),
        ("0 0", "1 0", "float32", "wrong"),
        ("0 0", "1e-9 0", "float32", "ok"),
        ("7 8 9", "7 8 9", "int64", "ok"),
        ("7 8 9", "7 8 8", "int64", "wrong"),
        ("1 0", "true false", "bool", "ok"),
    ],
)
def test_outputs_are_compared(awk: list[str], golden: str, values: str, dtype: str, verdict: str) -> None:
    rows = [golden.split(), values.split()]
    count = max(map(len, rows))
    table = "".join("\t".join(row[index] if index < len(row) else "" for row in rows) + "\n" for index in range(count))
    done = subprocess.run(
        [*awk, "-F", "\t", "-v", f"dtype={dtype}", "-v", "min_cosine=0.999", "-f", SCRIPT / "kit" / "compare.awk"],
        input=table, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split()[0] == verdict, done.stdout


@pytest.mark.parametrize("indent", [None, 2])
def test_json_is_read(awk: list[str], tmp_path: Path, indent: int | None) -> None:
    document = {
        "a": [{"path": 'a "quoted" näme', "n": -1.5e3}, {"path": "b\\c", "n": None}], "empty": {}, "none": [],
        "deep": {"x": [[1, 2], [True, False]]}, "text": "a\tb, [c] {d}: e",
    }  # fmt: skip
    path = tmp_path / "document.json"
    path.write_text(json.dumps(document, indent=indent, ensure_ascii=False))
    done = subprocess.run([*awk, "-f", SCRIPT / "kit" / "json.awk", path], capture_output=True, text=True, check=True)
    assert dict(line.split("\t") for line in done.stdout.splitlines()) == {
        "a.0.path": 'a "quoted" näme', "a.0.n": "-1500.0", "a.1.path": "b\\c", "a.1.n": "null",
        "deep.x.0.0": "1", "deep.x.0.1": "2", "deep.x.1.0": "true", "deep.x.1.1": "false",
        "text": "a\\tb, [c] {d}: e",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1, 2", '{"a": 1}}', '{"a" 1}', '{"a": 1} {"b": 2}', '{"a": "b', "hello", '{"a": 1}\n# no', "[1 2]"],
)
def test_what_is_no_json_is_refused(awk: list[str], tmp_path: Path, text: str) -> None:
    (tmp_path / "document.json").write_text(text)
    command = [*awk, "-f", SCRIPT / "kit" / "json.awk", tmp_path / "document.json"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
