"""The builder for an installed TensorRT, executed with TensorRT-RTX in its place; nothing here proves an engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgetool.artifact import Engine, Model
from edgetool.context import BuildContext
from edgetool.errors import ModelError, UnavailableError
from edgetool.signature import Signature
from edgetool.testing import tiny_cnn, tiny_int8_cnn
from edgetool.testing.models import foreign_operator
from edgetool_tensorrt.device import Device
from edgetool_tensorrt.local.builder import ENTRY, build_with
from edgetool_tensorrt.local.dialect import Dialect
from edgetool_tensorrt.local.eight import Eight
from edgetool_tensorrt.local.eleven import Eleven
from edgetool_tensorrt.local.here import timing_name
from edgetool_tensorrt.local.majors import dialect_of
from edgetool_tensorrt.local.ten import Ten
from edgetool_tensorrt.local.timing import keep_timings, lend_timings
from edgetool_tensorrt.local.weak import permit_weakly
from edgetool_tensorrt.network import Network
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.plan_file import read_header
from edgetool_tensorrt.version import Version
from tests.tensorrt.restricted import Restricted

pytest.importorskip("tensorrt_rtx")

HERE = Device(arch="x86_64", sm=86, gpu="a card")
DIALECTS = [(Eight, "8.6"), (Ten, "10.3"), (Ten, "10.16"), (Eleven, "11.4")]
Build = Callable[..., Engine]


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    monkeypatch.setenv("EDGETOOL_CACHE_DIR", str(tmp_path / "cache"))

    def run(model: Model, dialect: Dialect, *, progress: Any = lambda *_: None, **options: Any) -> Engine:
        directory = tmp_path / "engine"
        directory.mkdir(exist_ok=True)
        context = BuildContext(threads=1, progress=progress)
        return build_with(dialect, HERE, model, directory, TensorRtOptions(**options), context)

    return run


@pytest.mark.parametrize(("kind", "release"), DIALECTS, ids=[release for _, release in DIALECTS])
def test_the_code_for_each_release_builds(build: Build, tmp_path: Path, kind: type[Dialect], release: str) -> None:
    dialect = kind(Restricted(release))
    engine = build(tiny_cnn(tmp_path), dialect, workspace=64, optimization_level=1)
    assert [path.name for path in engine.directory.iterdir()] == [ENTRY]  # no GPU, so no layers
    assert read_header(engine.path).version == dialect.version
    assert engine.precision == "float32"
    assert engine.facts["profiles"] == {"x": {"min": [1, 3, 8, 8], "opt": [2, 3, 8, 8], "max": [4, 3, 8, 8]}}
    assert engine.facts["gpu"] == "a card"
    assert engine.facts["product"] == "tensorrt-rtx"  # the header says so, and is believed


def test_int8_needs_no_flags_where_networks_are_strongly_typed(build: Build, tmp_path: Path) -> None:
    engine = build(tiny_int8_cnn(tmp_path), Ten(Restricted("10.16")))
    assert engine.precision == "int8"
    assert engine.facts["flags"] == []


class Config:
    """Records what a builder's configuration is told."""

    def __init__(self) -> None:
        self.flags: list[object] = []
        self.int8_calibrator: Any = None

    def set_flag(self, flag: object) -> None:
        self.flags.append(flag)


def _network(tmp_path: Path, *, precision: str, half: bool, calibration: Path | None = None) -> Network:
    model = Model(tmp_path / "m.onnx", Signature((), ()))
    return Network(model, model.path, calibration, (), precision, half)


@pytest.mark.parametrize("release", ["8.6", "10.3", "10.16"])
@pytest.mark.parametrize(
    ("precision", "half", "dla", "flags"),
    [
        ("float32", False, False, ()),
        ("float16", True, False, ("FP16",)),
        ("int8", False, False, ("INT8",)),
        ("int8", True, False, ("FP16", "INT8")),
        ("float32", False, True, ("FP16",)),
    ],
)
def test_weakly_typed_builds_are_permitted_what_the_network_says(
    tmp_path: Path, release: str, precision: str, half: bool, dla: bool, flags: tuple[str, ...]
) -> None:
    config = Config()
    assert (
        permit_weakly(Restricted(release), config, _network(tmp_path, precision=precision, half=half), dla=dla) == flags
    )
    assert len(config.flags) == len(flags)


def test_a_dla_gets_its_scales_from_the_cache_and_measures_none(tmp_path: Path) -> None:
    cache = tmp_path / "calib.cache"
    cache.write_bytes(b"TRT-100300-EntropyCalibration2\nx: 3c000000\n")
    config = Config()
    network = _network(tmp_path, precision="int8", half=True, calibration=cache)
    assert permit_weakly(Restricted("10.3"), config, network, dla=True) == ("FP16", "INT8")
    assert config.int8_calibrator.read_calibration_cache() == cache.read_bytes()
    assert config.int8_calibrator.get_batch(["x"]) is None


def test_ten_is_strongly_typed_except_for_the_dla() -> None:
    ten = Ten(Restricted("10.3"))
    assert ten.network_flags(dla=False) != 0
    assert ten.network_flags(dla=True) == 0
    assert Eleven(Restricted("11.4")).network_flags(dla=True) == 0


def test_a_node_that_the_parser_refuses_is_named(build: Build, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="plugin") as caught:
        build(foreign_operator(tmp_path), Eleven(Restricted("11.4")))
    assert caught.value.code == "unsupported-by-tensorrt"
    assert not list((tmp_path / "engine").iterdir())


def test_a_range_that_is_missing_is_named_before_anything_is_built(build: Build, tmp_path: Path) -> None:
    model = tiny_cnn(tmp_path)
    open_model = Model(model.path, Signature(model.signature.inputs, model.signature.outputs))
    with pytest.raises(ModelError, match="batch") as caught:
        build(open_model, Eleven(Restricted("11.4")))
    assert caught.value.code == "wrong-profile"


def test_progress_that_raises_cancels_the_build(build: Build, tmp_path: Path) -> None:
    def interrupt(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tiny_cnn(tmp_path), Ten(Restricted("10.3")), progress=interrupt)
    assert not list((tmp_path / "engine").iterdir())


class Timings:
    """A configuration that keeps timings as TensorRT does; TensorRT-RTX has none to keep."""

    def __init__(self, version: bytes) -> None:
        self._version = version
        self.cache: SimpleNamespace | None = None

    def create_timing_cache(self, data: bytes) -> SimpleNamespace | None:
        return None if data == b"damaged" else SimpleNamespace(serialize=lambda: data or self._version)

    def set_timing_cache(self, cache: SimpleNamespace, ignore_mismatch: bool) -> bool:
        accepted = ignore_mismatch or cache.serialize() == self._version
        self.cache = cache if accepted else self.cache
        return accepted

    def get_timing_cache(self) -> SimpleNamespace | None:
        return self.cache


@pytest.mark.parametrize("found", [None, b"8.6 timings", b"damaged", b"10.3 timings"])
def test_timings_of_the_same_version_are_used_and_others_replaced(tmp_path: Path, found: bytes | None) -> None:
    path = tmp_path / "timings"
    if found is not None:
        path.write_bytes(found)
    config = Timings(b"10.3 timings")
    lend_timings(config, path)
    assert config.cache is not None
    keep_timings(config, path)
    assert path.read_bytes() == b"10.3 timings"


def test_timings_that_cannot_be_kept_are_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = Timings(b"10.3 timings")
    lend_timings(config, tmp_path / "file" / "timings")
    keep_timings(config, tmp_path / "file" / "timings")
    keep_timings(Timings(b""), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_timings_belong_to_one_kind_of_machine() -> None:
    version = Version(10, 3)
    names = {timing_name(Device(arch="aarch64", sm=87, model=model), version) for model in ("Orin NX", "AGX Orin")}
    assert names == {"10.3.0-sm87-Orin_NX", "10.3.0-sm87-AGX_Orin"}


@pytest.mark.parametrize(
    ("version", "kind"),
    [("8.6.1", Eight), ("10.3.0", Ten), ("10.16.2.10", Ten), ("11.4.0.106", Eleven), ("12.0", Eleven)],
)
def test_the_version_chooses_the_dialect(version: str, kind: type[Dialect]) -> None:
    assert type(dialect_of(SimpleNamespace(__version__=version))) is kind


def test_what_is_too_old_is_refused_with_the_way_out() -> None:
    with pytest.raises(UnavailableError, match=r"8\.5\.2") as caught:
        dialect_of(SimpleNamespace(__version__="8.5.2"))
    assert caught.value.code == "tensorrt-too-old"
    assert "ssh" in str(caught.value.hint)


def test_an_engine_of_another_version_than_was_loaded_is_refused(build: Build, tmp_path: Path) -> None:
    trt = Restricted("11.4")
    trt.__version__ = "11.4.0.106"
    with pytest.raises(UnavailableError, match="header names") as caught:
        build(tiny_cnn(tmp_path), Eleven(trt))
    assert caught.value.code == "tensorrt-failed"
