"""Bundles are the same bytes for the same inputs, appear whole or not at all, and replace only bundles."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgetool import disk
from edgetool.bundle.read import read_bundle
from edgetool.bundle.verify import verify
from edgetool.bundle.write import Contents, portable_source, refuse_to_overwrite, write_bundle
from edgetool.errors import ConfigError, EdgetoolError, HostError, IntegrityError, ModelError

from .samples import contents  # noqa: TID252 # tests are no package to import from

ONE_LINER = (
    "find . -type f ! -path ./reports/measurements.json -exec sha256sum {} + "
    "| sed 's|  \\./|  |' | LC_ALL=C sort | sha256sum"
)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_layout_modes_and_a_sound_result(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        written = write_bundle(tmp_path / "dist" / "net.edgebundle", contents(tmp_path))
    finally:
        os.umask(old)
    assert set(tree(written.path)) == {
        "manifest.json", "model/engine.onnx", "model/data/weights.bin", "io/index.json", "io/case0-input0.bin",
        "io/case0-output0.bin", "reports/validation.json", "reports/measurements.json", "sbom.cdx.json",
        "provenance.json",
    }  # fmt: skip
    for path in written.path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644)
    assert written.size == 8 + 256 * 40
    assert verify(written.path).sound
    assert leftovers(written.path.parent) == []


def test_equal_inputs_give_equal_bytes_wherever_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write_bundle(tmp_path / "a" / "net.edgebundle", contents(tmp_path / "1"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    second = write_bundle(Path("net.edgebundle"), contents(tmp_path / "2"))
    assert tree(first.path) == tree(second.path)
    assert str(tmp_path).encode() not in b"".join(tree(first.path).values())


def test_source_date_epoch_sets_the_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert write_bundle(tmp_path / "n", contents(tmp_path)).manifest.created == "2023-11-14T22:13:20Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    with pytest.raises(ConfigError, match="SOURCE_DATE_EPOCH"):
        write_bundle(tmp_path / "m", contents(tmp_path))


def test_coreutils_compute_the_same_content_digest(tmp_path: Path) -> None:
    written = write_bundle(tmp_path / "net.edgebundle", contents(tmp_path))
    output = subprocess.run(ONE_LINER, shell=True, cwd=written.path, capture_output=True, text=True, check=True).stdout
    assert output.split()[0] == written.content_digest
    assert (
        json.loads((written.path / "reports/measurements.json").read_text())["content_digest"] == written.content_digest
    )


def test_measurements_do_not_change_the_content(tmp_path: Path) -> None:
    given = contents(tmp_path)
    first = write_bundle(tmp_path / "net", given)
    inode = (tmp_path / "net" / "model" / "engine.onnx").stat().st_ino
    other = Contents(
        manifest=given.manifest,
        engine=given.engine,
        golden=given.golden,
        validation=given.validation,
        measurements={"p50_s": 9},
    )
    second = write_bundle(tmp_path / "net", other)
    assert (first.content_digest, True, False) == (second.content_digest, first.renewed, second.renewed)
    assert json.loads((tmp_path / "net/reports/measurements.json").read_text())["p50_s"] == 9
    assert (tmp_path / "net" / "model" / "engine.onnx").stat().st_ino == inode


def test_a_damaged_bundle_is_written_again(tmp_path: Path) -> None:
    write_bundle(tmp_path / "net", contents(tmp_path))
    (tmp_path / "net" / "model" / "engine.onnx").write_bytes(b"\x08\x09engima")
    assert write_bundle(tmp_path / "net", contents(tmp_path)).renewed
    assert verify(tmp_path / "net").sound


def test_only_bundles_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text.tex").write_text("years of work")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "thesis")
    for name in ("thesis", "file", "link"):
        with pytest.raises(ConfigError) as caught:
            write_bundle(tmp_path / name, contents(tmp_path))
        assert caught.value.code == "bundle-place-taken"
    assert (tmp_path / "thesis" / "text.tex").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    assert write_bundle(tmp_path / "empty", contents(tmp_path)).renewed


def test_a_failure_midway_keeps_the_old_bundle_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dist = tmp_path / "dist"
    write_bundle(dist / "net", contents(tmp_path))
    before = tree(dist)

    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "chmod", no_space)
    with pytest.raises(HostError) as caught:
        write_bundle(dist / "net", contents(tmp_path, precision="float16"))
    assert (caught.value.code, caught.value.exit_code) == ("disk-full", 10)
    assert tree(dist) == before
    assert leftovers(dist) == []


@pytest.mark.skipif(
    shutil.which("mount") is None or os.geteuid() != 0, reason="needs root to mount a small file system"
)
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(HostError) as caught:
            write_bundle(small / "net", contents(tmp_path))
        assert caught.value.code == "disk-full"
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_when_the_last_rename_fails_the_old_bundle_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bundle(tmp_path / "net", contents(tmp_path))
    before = tree(tmp_path / "net")
    rename, calls = Path.rename, []

    def flaky(self: Path, target: Path) -> Path:
        calls.append(self.name)
        if calls == ["new", "net", "new"]:
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", flaky)
    with pytest.raises(HostError) as caught:
        write_bundle(tmp_path / "net", contents(tmp_path, precision="float16"))
    assert caught.value.code == "host-failed"
    assert tree(tmp_path / "net") == before


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(disk.tempfile, "mkdtemp", forbidden)
    with pytest.raises(HostError) as caught:
        write_bundle(tmp_path / "net", contents(tmp_path))
    assert caught.value.code == "permission-denied"


def test_a_killed_writer_is_tidied_up_after_and_a_living_one_is_not(tmp_path: Path) -> None:
    script = (
        "import os, sys, pathlib\n"
        "from edgetool.disk import replaced_folder\n"
        "with replaced_folder(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('x')\n"
        "    print('ready', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "net")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    write_bundle(tmp_path / "net", contents(tmp_path))
    assert len(leftovers(tmp_path)) == 1
    child.kill()
    child.wait()
    write_bundle(tmp_path / "net", contents(tmp_path, precision="float16"))
    assert leftovers(tmp_path) == []
    assert verify(tmp_path / "net").sound


def _write_once(folder: str, precision: str) -> None:
    write_bundle(Path(folder) / "net", contents(Path(folder) / precision, precision=precision))


def test_several_writers_of_one_bundle_leave_one_sound_bundle(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    names = ["int8", "float16", "float32", "bfloat16"]
    children = [context.Process(target=_write_once, args=(str(tmp_path), name)) for name in names]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 4
    assert read_bundle(tmp_path / "net").manifest.precision in names
    assert leftovers(tmp_path) == []


def test_an_engine_that_changes_while_it_is_copied_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = contents(tmp_path)
    original = disk._locked_folder

    def meddle(*arguments: object) -> object:
        (given.engine / "engine.onnx").write_bytes(b"another")
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(disk, "_locked_folder", meddle)
    with pytest.raises(IntegrityError) as caught:
        write_bundle(tmp_path / "net", given)
    assert caught.value.code == "engine-changed"
    assert not (tmp_path / "net").exists()


def test_file_names_that_no_bundle_may_hold(tmp_path: Path) -> None:
    given = contents(tmp_path)
    (given.engine / "we\nights").write_text("x")
    with pytest.raises(ModelError) as caught:
        write_bundle(tmp_path / "net", given)
    assert caught.value.code == "unsafe-file-name"
    assert isinstance(caught.value, EdgetoolError)


def test_sources_lose_their_absolute_path() -> None:
    assert portable_source("/home/me/net.onnx") == "net.onnx"
    assert portable_source("models/net.onnx") == "models/net.onnx"
    assert portable_source("zoo:make") == "zoo:make"


def test_what_another_writer_is_just_putting_there_is_waited_for(tmp_path: Path) -> None:
    """Between two renames the place looks as if something else were in it."""
    place = tmp_path / "net.edgebundle"
    place.mkdir()
    (place / "half").write_text("of a bundle")
    looked = threading.Event()

    def put() -> None:
        with disk.only_writer(place):
            looked.set()
            time.sleep(0.3)
            (place / "manifest.json").write_text("{}")

    writer = threading.Thread(target=put)
    writer.start()
    looked.wait()
    refuse_to_overwrite(place)
    writer.join()
    (place / "manifest.json").unlink()
    with pytest.raises(ConfigError, match="no bundle"):
        refuse_to_overwrite(place)
