"""Command lines for trtexec of each version: golden, within what that version takes, and safe."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetool.errors import DeviceError, ModelError
from edgetool_tensorrt.trtexec import (
    Arguments,
    BuildSettings,
    Profile,
    RunSettings,
    build_arguments,
    listed,
    measurement_facts,
    releases,
    run_arguments,
    safe_name,
    taken,
)
from edgetool_tensorrt.version import Version

PROFILES = {"x": Profile((1, 3, 8, 8), (2, 3, 8, 8), (4, 3, 8, 8)), "mask:0": Profile((1, 5), (1, 5), (1, 9))}
SHAPES = (
    "--minShapes=x:1x3x8x8,mask:0:1x5",
    "--optShapes=x:2x3x8x8,mask:0:1x5",
    "--maxShapes=x:4x3x8x8,mask:0:1x9",
)
FULL = BuildSettings(
    onnx="m.onnx",
    engine="e.plan",
    profiles=PROFILES,
    workspace=512 << 20,
    timing_cache="t.cache",
    layer_info="l.json",
    optimization_level=4,
    half=True,
    int8=True,
)
KEPT = ("--timingCacheFile=t.cache", "--profilingVerbosity=detailed", "--exportLayerInfo=l.json")
POOL, LEVEL = "--memPoolSize=workspace:512", "--builderOptimizationLevel=4"
FILES = ("--onnx=m.onnx", "--saveEngine=e.plan")

BUILDS = {
    "8.2.1": (*FILES, "--buildOnly", *SHAPES, "--fp16", "--int8", "--workspace=512", *KEPT),
    "8.5.2": (*FILES, "--buildOnly", *SHAPES, "--fp16", "--int8", POOL, *KEPT),
    "8.6.2": (*FILES, "--skipInference", *SHAPES, "--fp16", "--int8", POOL, LEVEL, *KEPT),
    "10.3.0.30": (*FILES, "--skipInference", *SHAPES, "--stronglyTyped", POOL, LEVEL, *KEPT),
    "10.7.0": (*FILES, "--skipInference", *SHAPES, "--stronglyTyped", POOL, LEVEL, *KEPT),
    "10.16.2": (*FILES, "--skipInference", *SHAPES, "--stronglyTyped", POOL, LEVEL, *KEPT),
    "11.0": (*FILES, "--skipInference", *SHAPES, POOL, LEVEL, *KEPT),
    "11.4.1": (*FILES, "--skipInference", *SHAPES, POOL, LEVEL, *KEPT),
}
DROPPED = {"8.2.1": ("--builderOptimizationLevel",), "8.5.2": ("--builderOptimizationLevel",)}


@pytest.mark.parametrize("version", BUILDS)
def test_build_arguments(version: str) -> None:
    assert build_arguments(Version.parse(version), FULL) == Arguments(BUILDS[version], DROPPED.get(version, ()))


@pytest.mark.parametrize("version", BUILDS)
def test_the_device_s_own_help_gives_the_same_arguments(version: str) -> None:
    parsed = Version.parse(version)
    assert build_arguments(parsed, FULL, offered=listed(parsed)).argv == BUILDS[version]


MEASURE = RunSettings(engine="e.plan", shapes={"x": (2, 3, 8, 8)}, times="t.json", iterations=20, seconds=1.5)
PINNED = ("--useCudaGraph", "--useSpinWait", "--noDataTransfers")
LOADED = ("--loadEngine=e.plan", "--shapes=x:2x3x8x8")


@pytest.mark.parametrize("version", ["8.2.1", "8.5.2", "8.6.2", "10.3.0", "10.7.0", "10.16.2"])
def test_measuring_is_pinned_before_11(version: str) -> None:
    arguments = run_arguments(Version.parse(version), MEASURE)
    assert arguments.argv == (*LOADED, "--iterations=20", "--duration=2", *PINNED, "--exportTimes=t.json")
    assert not arguments.dropped


def test_measuring_with_11_is_the_same_by_its_defaults() -> None:
    ten, eleven = Version(10, 16), Version(11, 1)
    assert run_arguments(eleven, MEASURE).argv == (*LOADED, "--iterations=20", "--duration=2", "--exportTimes=t.json")
    facts = measurement_facts(ten, run_arguments(ten, MEASURE))
    assert facts == measurement_facts(eleven, run_arguments(eleven, MEASURE))
    assert facts == {"cuda_graph": True, "spin_wait": True, "data_transfers": False}


def test_a_dla_has_no_cuda_graph() -> None:
    settings = RunSettings(engine="e.plan", dla_core=0, times="t.json")
    for version in (Version(10, 7), Version(11, 4, 1)):
        arguments = run_arguments(version, settings)
        assert "--useCudaGraph" not in arguments.argv
        assert "--useDLACore=0" in arguments.argv
        assert measurement_facts(version, arguments, dla=True)["cuda_graph"] is False


@pytest.mark.parametrize("version", BUILDS)
def test_a_run_for_outputs_goes_the_plain_way(version: str) -> None:
    settings = RunSettings(
        engine="e.plan",
        inputs={"x": "/d/x.bin"},
        outputs="o.json",
        iterations=1,
        seconds=0.0,
        shapes={"x": (2, 3, 8, 8)},
    )
    assert run_arguments(Version.parse(version), settings).argv == (
        *LOADED,
        "--loadInputs=x:/d/x.bin",
        "--iterations=1",
        "--duration=0",
        "--warmUp=0",
        "--exportOutput=o.json",
    )


def test_options_that_the_device_lacks() -> None:
    version = Version(10, 3)
    old = taken(Version(8, 5))
    with pytest.raises(DeviceError, match="--stronglyTyped") as caught:
        build_arguments(version, FULL, offered=old)
    assert (caught.value.code, caught.value.exit_code) == ("trtexec-lacks-option", 6)
    poor = taken(version) - {"timingCacheFile", "exportLayerInfo"}
    assert build_arguments(version, FULL, offered=poor).dropped == ("--timingCacheFile", "--exportLayerInfo")
    with pytest.raises(DeviceError, match=r"--loadEngine, --shapes, --exportTimes"):
        run_arguments(version, RunSettings(engine="e", shapes={"x": (1,)}, times="t"), offered=frozenset())


def test_a_newer_device_may_drop_what_was_convenient() -> None:
    """TensorRT 11 keeps the older measuring flags as names without effect, so none of them is sent there."""
    offered = taken(Version(11, 1)) - {"useCudaGraph", "useSpinWait", "noDataTransfers"}
    assert run_arguments(Version(11, 9), MEASURE, offered=offered) == run_arguments(Version(11, 1), MEASURE)


def test_dla_before_11_is_weakly_typed() -> None:
    settings = BuildSettings(
        onnx="float.onnx", engine="e.plan", dla_core=1, typed=False, int8=True, calibration_cache="calib.cache"
    )
    expected = (
        "--fp16", "--int8", "--calib=calib.cache", "--useDLACore=1", "--allowGPUFallback",
        "--profilingVerbosity=detailed",
    )  # fmt: skip
    for version in (Version(8, 5, 2), Version(8, 6, 2), Version(10, 3), Version(10, 7)):
        assert build_arguments(version, settings).argv[3:] == expected


def test_dla_in_float16_needs_the_flag_before_11_only() -> None:
    settings = BuildSettings(onnx="m.onnx", engine="e.plan", dla_core=0, gpu_fallback=False, half=True)
    assert build_arguments(Version(10, 7), settings).argv[3:5] == ("--fp16", "--useDLACore=0")
    assert build_arguments(Version(11, 4, 1), settings).argv[3:4] == ("--useDLACore=0",)


def test_int8_without_any_scales_is_refused_where_trtexec_would_invent_them() -> None:
    settings = BuildSettings(onnx="float.onnx", engine="e.plan", typed=False, int8=True)
    for version in (Version(8, 6, 2), Version(10, 7)):
        with pytest.raises(ModelError, match="invent") as caught:
            build_arguments(version, settings)
        assert caught.value.code == "int8-without-scales"


def test_the_default_workspace_of_old_versions_is_raised() -> None:
    """16 MiB was the default of trtexec before 8.4."""
    plain = BuildSettings(onnx="m.onnx", engine="e.plan")
    assert "--workspace=1024" in build_arguments(Version(8, 2, 1), plain).argv
    assert not [one for one in build_arguments(Version(8, 4, 1), plain).argv if "workspace" in one]


def test_precision_flags_only_where_nothing_else_can_say_it() -> None:
    flags = {"--fp16", "--int8", "--best", "--fp8", "--bf16", "--int4"}
    for version in releases():
        sent = set(build_arguments(version, FULL).argv) & flags
        assert sent == ({"--fp16", "--int8"} if version.major < 10 else set()), version
    plain = BuildSettings(onnx="m.onnx", engine="e.plan")
    assert not set(build_arguments(Version(8, 6, 2), plain).argv) & flags


def test_every_option_that_is_ever_sent_is_taken_by_that_release() -> None:
    builds = [
        BuildSettings(
            onnx="m.onnx", engine="e.plan", profiles=profiles, workspace=workspace, timing_cache="t", layer_info="l",
            calibration_cache=calibration, dla_core=dla, typed=typed, optimization_level=5, half=half, int8=int8,
        )
        for profiles, workspace, calibration, dla, typed, half, int8 in itertools.product(
            ({}, PROFILES), (None, 1), (None, "c"), (None, 0), (True, False), (True, False), (True, False)
        )
        if not (int8 and not typed and calibration is None)
    ]  # fmt: skip
    runs = [
        RunSettings(
            engine="e", shapes={"x": (1,)}, inputs=inputs, outputs=outputs, times=times, layer_info="l",
            seconds=seconds, iterations=1, dla_core=dla,
        )
        for inputs, outputs, times, seconds, dla in itertools.product(
            (None, {"x": "x"}), (None, "o"), (None, "t"), (None, 0.0, 0.2), (None, 0)
        )
    ]  # fmt: skip
    for version in releases():
        lines = [build_arguments(version, one) for one in builds] + [run_arguments(version, one) for one in runs]
        for line in lines:
            names = [argument.removeprefix("--").partition("=")[0] for argument in line.argv]
            assert set(names) <= taken(version), version
            assert len(names) == len(set(names)), "an option twice"
            assert not {name.removeprefix("--") for name in line.dropped} & taken(version), version


UNSAFE = [
    "x;reboot",
    "x y",
    "$(id)",
    "`id`",
    "a,b",
    "a'b",
    'a"b',
    "a=b",
    "",
    "naïve",
    "a\nb",
    "x|y",
    "x>y",
    "x{0}",
    "x\\",
]


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_tensor_names_are_refused(name: str) -> None:
    assert not safe_name(name)
    shape = (1, 2)
    for version in (Version(8, 2, 1), Version(10, 3), Version(11, 1)):
        settings = BuildSettings(
            onnx="m.onnx", engine="e", profiles={"ok": Profile(shape, shape, shape), name: Profile(shape, shape, shape)}
        )
        with pytest.raises(ModelError) as caught:
            build_arguments(version, settings)
        assert (caught.value.code, caught.value.where) == ("unsafe-tensor-name", "m.onnx")
        for run in (RunSettings(engine="e", shapes={name: shape}), RunSettings(engine="e", inputs={name: "x.bin"})):
            with pytest.raises(ModelError, match="command line"):
                run_arguments(version, run)


@given(st.text())
def test_a_safe_name_survives_a_shell_and_trtexec(name: str) -> None:
    import shlex

    if safe_name(name):
        assert shlex.quote(name) == name
        assert f"{name}:1x2".rpartition(":")[0] == name
        assert "," not in name


@pytest.mark.parametrize("name", ["x", "input.1", "image:0", "/encoder/Add_output_0", "a-b_c"])
def test_names_as_exporters_write_them_are_safe(name: str) -> None:
    assert safe_name(name)
