"""`tar`: the bundle comes out again, byte for byte, through the tar of the system."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetool.bundle.read import read_bundle
from edgetool.errors import IntegrityError, ModelError
from edgetool.exporters.package import Package
from edgetool_firmware.ustar import Ustar
from tests.firmware.damage import damaged_copy

Run = Callable[..., Package]


def _extract(archive: Path, folder: Path) -> Path:
    folder.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)
    return folder


def test_the_bundle_comes_out_again(bundle: Path, package: Run, tmp_path: Path) -> None:
    bundle.with_name(bundle.name + ".sig").write_text("signed")
    done = package(bundle, "tar")
    assert done.path.name == "tiny-1.0.0-ort.tar"
    out = _extract(done.path, tmp_path / "out")
    assert read_bundle(out / bundle.name).content_digest == read_bundle(bundle).content_digest
    assert (out / f"{bundle.name}.sig").read_text() == "signed"
    assert sorted(path.name for path in out.iterdir()) == [bundle.name, f"{bundle.name}.sig"]


def test_equal_bundles_give_equal_bytes(bundle: Path, package: Run, tmp_path: Path) -> None:
    first = package(bundle, "tar").path.read_bytes()
    moved = bundle.rename(tmp_path / bundle.name)
    for path in moved.rglob("*"):
        path.touch()
    assert package(moved, "tar", overwrite=True).path.read_bytes() == first


def test_members_belong_to_root_and_are_of_the_bundles_time(bundle: Path, package: Run) -> None:
    with tarfile.open(package(bundle, "tar").path) as archive:
        members = archive.getmembers()
    assert {(row.uid, row.gid, row.uname, row.gname, row.mtime) for row in members} == {
        (0, 0, "root", "root", 1_700_000_000)
    }
    assert {(row.isdir(), row.mode) for row in members} == {(True, 0o755), (False, 0o644)}
    assert [row.name for row in members if row.isfile()] == sorted(row.name for row in members if row.isfile())


@pytest.mark.parametrize("name", ["mein Netz", "it's", '"$(id)"', "net\nwork", "网络", "-rf"])
def test_odd_names_come_through(make_bundle: Callable[..., Path], package: Run, tmp_path: Path, name: str) -> None:
    made = make_bundle(name=name, files={"a b/$(x) é.onnx": b"engine"})
    out = _extract(package(made, "tar").path, tmp_path / "out")
    assert read_bundle(out / made.name).manifest.entry == "model/a b/$(x) é.onnx"


def test_a_changed_byte_is_found_in_what_was_extracted(bundle: Path, package: Run, tmp_path: Path) -> None:
    engine = (bundle / "model" / "model.onnx").read_bytes()
    damaged = damaged_copy(package(bundle, "tar").path, within=engine)
    with pytest.raises(IntegrityError, match="changed"):
        read_bundle(_extract(damaged, tmp_path / "out") / bundle.name)


def test_a_name_that_ustar_cannot_hold(make_bundle: Callable[..., Path], package: Run) -> None:
    made = make_bundle(files={"x" * 120 + ".onnx": b"engine"})
    with pytest.raises(ModelError) as caught:
        package(made, "tar")
    assert caught.value.code == "name-too-long"


def test_a_file_that_ustar_cannot_hold(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(8 << 30)
    with (
        (tmp_path / "out.tar").open("wb") as file,
        pytest.raises(ModelError) as caught,
        Ustar(file, created=0) as archive,
    ):
        archive.add_file("huge", tmp_path / "huge")
    assert caught.value.code == "file-too-large"


def test_archives_are_those_of_python_and_gnu(tmp_path: Path) -> None:
    """Blocks and records are padded as every tar expects, whatever the sizes."""
    for size in (0, 1, 511, 512, 513, 10_240, 3 << 20):
        (tmp_path / "file").write_bytes(bytes(size))
        with (tmp_path / "own.tar").open("wb") as file, Ustar(file, created=7) as archive:
            archive.add_file("a/file", tmp_path / "file")
            archive.add_bytes("a/program", b"#!", program=True)
        assert (tmp_path / "own.tar").stat().st_size % 10_240 == 0
        with tarfile.open(tmp_path / "own.tar") as archive:
            assert [(row.name, row.size, row.mode) for row in archive] == [
                ("a", 0, 0o755),
                ("a/file", size, 0o644),
                ("a/program", 2, 0o755),
            ]
        subprocess.run(["tar", "-tf", tmp_path / "own.tar"], check=True, capture_output=True)
