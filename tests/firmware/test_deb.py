"""`deb`: accepted by dpkg-deb, installed, upgraded and removed by dpkg in a root of its own."""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetool.bundle.read import read_bundle
from edgetool.errors import ConfigError, IntegrityError, ModelError
from edgetool.exporters.package import Package
from edgetool_firmware.xz import XzWriter
from tests.firmware.bundles import ORIN
from tests.firmware.damage import damaged_copy, flip_byte

Run = Callable[..., Package]
Make = Callable[..., Path]
FOLDER = "usr/share/edgetool/models"


@pytest.fixture
def dpkg_deb(require_tool: Callable[[str], str]) -> Callable[..., str]:
    tool = require_tool("dpkg-deb")

    def run(*arguments: str | Path) -> str:
        return subprocess.run([tool, *arguments], check=True, capture_output=True, text=True).stdout

    return run


@pytest.fixture
def dpkg(require_tool: Callable[[str], str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """dpkg that works on `root/` instead of this machine."""
    tool, root = require_tool("dpkg"), tmp_path / "root"
    for name in ("updates", "info"):
        (root / "var/lib/dpkg" / name).mkdir(parents=True)
    for name in ("status", "available"):
        (root / "var/lib/dpkg" / name).touch()

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        options = [f"--root={root}", "--force-not-root", f"--log={tmp_path / 'log'}", "--force-architecture"]
        return subprocess.run([tool, *options, *arguments], capture_output=True, text=True, check=False)

    return run


def _fields(dpkg_deb: Callable[..., str], path: Path) -> dict[str, str]:
    rows = [line.partition(": ") for line in dpkg_deb("-f", path).splitlines() if not line.startswith(" ")]
    return {name: value for name, _, value in rows}


@pytest.mark.parametrize("compression", ["xz", "none"])
def test_dpkg_deb_takes_it_apart(
    bundle: Path, package: Run, dpkg_deb: Callable[..., str], tmp_path: Path, compression: str
) -> None:
    bundle.with_name(bundle.name + ".sig").write_text("signed")
    done = package(bundle, "deb", options={"compression": compression})
    fields = _fields(dpkg_deb, done.path)
    assert fields["Package"] == "edgetool-model-tiny"
    assert fields["Version"] == "1.0.0"
    assert fields["Edgetool-Digest"] == read_bundle(bundle).content_digest
    listed = [line.split()[:2] for line in dpkg_deb("-c", done.path).splitlines()]
    assert {tuple(row) for row in listed} == {("drwxr-xr-x", "root/root"), ("-rw-r--r--", "root/root")}
    dpkg_deb("-x", done.path, tmp_path / "out")
    assert read_bundle(tmp_path / "out" / FOLDER / "tiny").content_digest == fields["Edgetool-Digest"]
    assert (tmp_path / "out" / FOLDER / "tiny.sig").read_text() == "signed"


def test_installed_upgraded_verified_and_removed(
    make_bundle: Make, package: Run, dpkg: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    versions = ["1.0.0-rc.1", "1.0.0", "1.1.0"]
    made = [
        make_bundle(version=version, files={"engine.onnx": version.encode(), f"only-{version}.bin": b"data"})
        for version in versions
    ]
    installed = tmp_path / "root" / FOLDER / "net"
    for path in made:
        done = dpkg("-i", package(path, "deb").path)
        assert done.returncode == 0, done.stderr
        assert "downgrading" not in done.stderr
        # Read as a bundle, so a file that an older version left behind is a fault.
        assert read_bundle(installed).content_digest == read_bundle(path).content_digest
    assert dpkg("--verify", "edgetool-model-net").stdout == ""
    flip_byte(installed / "model" / "engine.onnx")
    assert "model/engine.onnx" in dpkg("--verify", "edgetool-model-net").stdout
    assert dpkg("-r", "edgetool-model-net").returncode == 0
    assert not (tmp_path / "root" / "usr/share/edgetool").exists()


def test_tensorrt_of_another_release_is_refused_by_dpkg(
    make_bundle: Make, package: Run, dpkg: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    made = make_bundle(
        runtime="tensorrt", runtime_version="10.3.0", facts=ORIN, target="orin", files={"engine.plan": b"plan"}
    )
    done = package(made, "deb")
    assert done.facts["architecture"] == "arm64"
    assert done.facts["depends"] == ["libnvinfer10 (>= 10.3)", "libnvinfer10 (<< 10.4)"]

    def with_tensorrt(version: str) -> subprocess.CompletedProcess[str]:
        status = tmp_path / "root/var/lib/dpkg/status"
        status.write_text(
            "Package: libnvinfer10\nStatus: install ok installed\nArchitecture: arm64\nMaintainer: a\n"
            f"Version: {version}\nDescription: x\n"
        )
        return dpkg("-i", done.path)

    refused = with_tensorrt("10.4.0.26-1+cuda12.6")
    assert refused.returncode != 0
    assert "libnvinfer10 (<< 10.4)" in refused.stderr
    assert with_tensorrt("10.3.0.30-1+cuda12.5").returncode == 0


def test_no_dependency_where_no_package_is_known(make_bundle: Make, package: Run) -> None:
    rtx = make_bundle(
        runtime="tensorrt", runtime_version="1.7.1.116", runtime_facts={"product": "tensorrt-rtx"}, target="rtx"
    )
    assert package(rtx, "deb").facts["depends"] == []
    unknown = make_bundle(runtime="tensorrt", runtime_version=None, target="trt")
    assert package(unknown, "deb").facts["depends"] == []


@pytest.mark.parametrize(
    ("arch", "expected"), [("x86_64", "amd64"), ("x86-64", "amd64"), ("aarch64", "arm64"), (None, "all")]
)
def test_the_architecture_is_the_targets(make_bundle: Make, package: Run, arch: str | None, expected: str) -> None:
    made = make_bundle(facts={} if arch is None else {"arch": arch})
    assert package(made, "deb").facts["architecture"] == expected


def test_everything_can_be_named_by_the_user(bundle: Path, package: Run, dpkg_deb: Callable[..., str]) -> None:
    options = {
        "package": "acme-net",
        "version": "2:3.0~beta",
        "architecture": "armhf",
        "depends": ["libonnxruntime (>= 1.31)", "a | b"],
        "maintainer": "Ärzte & Co <a@example.com>",
        "section": "non-free/science",
        "path": "/opt/acme/net",
    }
    done = package(bundle, "deb", options=options)
    fields = _fields(dpkg_deb, done.path)
    assert fields["Depends"] == "libonnxruntime (>= 1.31), a | b"
    assert fields["Maintainer"] == options["maintainer"]
    assert (fields["Package"], fields["Version"], fields["Architecture"]) == ("acme-net", "2:3.0~beta", "armhf")
    assert "./opt/acme/net/manifest.json" in dpkg_deb("-c", done.path)


def test_equal_bundles_give_equal_bytes(make_bundle: Make, package: Run) -> None:
    made = make_bundle(files={"engine.onnx": 4_500_000})
    first = package(made, "deb").path.read_bytes()
    assert package(made, "deb", overwrite=True).path.read_bytes() == first
    processors = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(processors)})
        assert package(made, "deb", overwrite=True).path.read_bytes() == first, "fewer processors, other bytes"
    finally:
        os.sched_setaffinity(0, processors)


@pytest.mark.parametrize("compression", ["xz", "none"])
def test_a_changed_byte_is_found(
    make_bundle: Make, package: Run, require_tool: Callable[[str], str], tmp_path: Path, compression: str
) -> None:
    """xz has a checksum; without compression the installed bundle's own hashes tell."""
    made = make_bundle(files={"engine.onnx": 100_000})
    damaged = damaged_copy(package(made, "deb", options={"compression": compression}).path)
    done = subprocess.run([require_tool("dpkg-deb"), "-x", damaged, tmp_path / "out"], capture_output=True, check=False)
    if compression == "xz":
        assert done.returncode != 0
    else:
        assert done.returncode == 0
        with pytest.raises(IntegrityError, match=r"engine\.onnx"):
            read_bundle(tmp_path / "out" / FOLDER / "net")


@pytest.mark.parametrize("name", ["my net", "it's", "$(touch /tmp/x)", "net\nDepends: evil", "网络", "-rf", "../up"])
def test_names_that_do_not_belong_into_a_package(make_bundle: Make, package: Run, name: str) -> None:
    made = make_bundle(name=name)
    with pytest.raises(ModelError) as caught:
        package(made, "deb")
    assert caught.value.code == "name-unsafe"


def test_an_odd_name_goes_once_package_and_path_are_named(
    make_bundle: Make, package: Run, dpkg_deb: Callable[..., str]
) -> None:
    made = make_bundle(name="net\nDepends: evil", files={"a b $(x).onnx": b"x"}, golden=False)
    done = package(made, "deb", options={"package": "net", "path": "/opt/net"})
    fields = _fields(dpkg_deb, done.path)
    assert fields["Description"] == "net Depends: evil 1.2.0 for ort"
    assert "Depends" not in fields
    assert "./opt/net/model/a b $(x).onnx" in dpkg_deb("-c", done.path)


@pytest.mark.parametrize("version", ["latest", "v2", "ä1"])
def test_versions_that_dpkg_cannot_sort(make_bundle: Make, package: Run, version: str) -> None:
    with pytest.raises(ModelError) as caught:
        package(make_bundle(version=version), "deb")
    assert caught.value.code == "version-unsuitable"
    assert caught.value.hint is not None
    assert "deb.version=" in caught.value.hint


def test_an_architecture_that_nobody_knows(make_bundle: Make, package: Run) -> None:
    with pytest.raises(ModelError) as caught:
        package(make_bundle(facts={"arch": "z80"}), "deb")
    assert caught.value.code == "architecture-unknown"


@pytest.mark.parametrize(
    "options",
    [
        {"package": "Upper"},
        {"package": "a b"},
        {"version": "v1"},
        {"version": "1.0-1\n"},
        {"maintainer": "a\nDepends: evil"},
        {"depends": ["a\nPackage: b"]},
        {"path": "relative"},
        {"path": "/a/../b"},
        {"path": "/"},
        {"level": 7},
        {"compression": "zip"},
        {"colour": "blue"},
    ],
)
def test_options_that_would_break_the_package(bundle: Path, package: Run, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        package(bundle, "deb", options=options)
    assert caught.value.code == "invalid-package-option"


@pytest.mark.parametrize("size", [0, 1, 4 << 20, (4 << 20) + 1, 11_000_000])
@pytest.mark.parametrize("level", [0, pytest.param(6, marks=pytest.mark.slow)])
def test_xz_of_many_blocks_is_one_stream(tmp_path: Path, size: int, level: int) -> None:
    data = (b"weights" * 200_000 + bytes(1_000_000)) * 8
    with (tmp_path / "own.xz").open("wb") as file, XzWriter(file, level=level) as sink:
        for start in range(0, size, 700_000):
            sink.write(data[:size][start : start + 700_000])
    own = (tmp_path / "own.xz").read_bytes()
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    assert decoder.decompress(own) == data[:size]
    assert decoder.eof
    assert decoder.unused_data == b""
    if tool := shutil.which("xz"):
        subprocess.run([tool, "-t", tmp_path / "own.xz"], check=True)
