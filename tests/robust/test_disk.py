"""Disks that are full or read-only, for the cache, the bundles and temporary files."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgetool.bundle.verify import verify
from edgetool.errors import HostError
from tests.robust.project import SLOW, Project, one_error, running

NAME = "tiny-1.0.0-float.edgebundle"
Mount = Callable[..., Path]


def _remount(folder: Path, *options: str) -> None:
    subprocess.run(["mount", "-o", ",".join(["remount", *options]), str(folder)], check=True)


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("size", ["8k", "16k", pytest.param("28k", marks=SLOW)])
def test_a_full_disk_for_the_cache(project: Project, mounted: Mount, size: str) -> None:
    cache = mounted("cache", f"size={size}")
    done = project.build()
    assert done.returncode == 10, done.stderr
    one_error(done.stderr, "disk-full")
    assert f"error[disk-full]: {cache}" in done.stderr, "the disk that is full, not the model's"
    assert not list((cache / "v1").glob("tmp/*"))
    assert not (project.folder / "dist").exists()
    _remount(cache, "size=16m")
    assert project.build().returncode == 0


def test_a_full_disk_while_a_model_is_converted(project: Project, mounted: Mount) -> None:
    """The disk is named, not the model, which lies elsewhere."""
    path = project.folder / "model.onnx"
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.ones(100_000, np.float32), "more"))
    model.graph.node.insert(0, helper.make_node("ReduceSum", ["more"], ["sum"], keepdims=0))
    output = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["before" if name == output else name for name in node.output]
    model.graph.node.append(helper.make_node("Add", ["before", "sum"], [output]))
    onnx.save(model, path)
    cache = mounted("cache", "size=64k")
    done = project.build()
    assert done.returncode == 10, done.stderr
    one_error(done.stderr, "disk-full")
    assert f"error[disk-full]: {cache}" in done.stderr


@pytest.mark.parametrize("size", ["4k", pytest.param("12k", marks=SLOW)])
def test_a_full_disk_for_bundles(warm: Project, tmp_path: Path, mounted: Mount, size: str) -> None:
    output = mounted("out", f"size={size}")
    done = warm.build("--output", output)
    assert done.returncode == 10, done.stderr
    one_error(done.stderr, "disk-full")
    assert list(output.iterdir()) == []
    _remount(output, "size=16m")
    assert warm.build("--output", output).returncode == 0
    assert verify(output / NAME).sound


@SLOW
def test_an_old_bundle_survives_a_disk_that_fills_up(project: Project, mounted: Mount) -> None:
    output = mounted("out", "size=256k")
    assert project.build("--output", output).returncode == 0
    before = _files(output)
    (output / "ballast").write_bytes(bytes(shutil.disk_usage(output).free))
    done = project.build("--output", output, "--set", "targets.float.threads=1", "--set", 'model.license="MIT"')
    assert done.returncode == 10, done.stderr
    one_error(done.stderr, "disk-full")
    assert [name for name in _files(output) if name != "ballast"] == before
    assert verify(output / NAME).sound


def test_a_full_disk_for_temporary_files(project: Project, mounted: Mount) -> None:
    """Without a cache every step's result is a temporary file."""
    temporary = mounted("tmp", "size=8k")
    (temporary / "ballast").write_bytes(bytes(4096))
    done = project.build("--no-cache", TMPDIR=str(temporary))
    assert done.returncode == 10, done.stderr
    one_error(done.stderr, "disk-full")
    assert str(temporary) in done.stderr
    assert _files(temporary) == ["ballast"]
    (temporary / "ballast").unlink()
    _remount(temporary, "size=16m")
    assert project.build("--no-cache", TMPDIR=str(temporary)).returncode == 0
    assert list(temporary.iterdir()) == []


def test_a_search_on_a_full_disk_says_so(project: Project, mounted: Mount) -> None:
    """`no recipe holds the budgets` would be taken for an answer about the network."""
    generator = np.random.default_rng(0)
    for sample in (project.folder / "eval").iterdir():  # so large that the disk has no room for one
        np.savez(sample, x=generator.normal(size=(16, 3, 8, 8)).astype("float32"))
    temporary = mounted("tmp", "size=4k")
    search = ("tune", "-t", "float", "--objective", "size", "--time", "60s", "--latency-time", "0.05s")
    with running(project.start(*search, TMPDIR=str(temporary))) as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, "no recipe holds" in out) == (10, False), err
    one_error(err, "disk-full")
    assert list(temporary.iterdir()) == []


def test_a_read_only_cache(project: Project, mounted: Mount) -> None:
    cache = mounted("cache", "size=16m")
    _remount(cache, "ro")
    done = project.build()
    assert done.returncode == 10, done.stderr
    one_error(done.stderr, "permission-denied")
    assert "EDGETOOL_CACHE_DIR" in done.stderr
    _remount(cache, "rw")
    assert project.build().returncode == 0
    _remount(cache, "ro")
    shutil.rmtree(project.folder / "dist")
    served = project.build()
    assert served.returncode == 0, served.stderr
    assert "import: cached" in served.stderr


def test_a_read_only_place_for_bundles(warm: Project, mounted: Mount) -> None:
    output = mounted("out", "size=1m")
    _remount(output, "ro")
    done = warm.build("--output", output)
    assert done.returncode == 10, done.stderr
    one_error(done.stderr, "permission-denied")
    assert "--output" in done.stderr


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_a_file_in_the_place_of_a_folder(warm: Project, tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("x")
    for done in (
        warm.build("--output", tmp_path / path),
        Project(warm.folder, tmp_path / path).build("--output", tmp_path / "out"),
    ):
        assert done.returncode == 10, done.stderr
        one_error(done.stderr, "host-failed")
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("command", ["ls", "gc", "verify"])
def test_cache_commands_with_a_file_for_a_cache(tmp_path: Path, project: Project, command: str) -> None:
    (tmp_path / "file").write_text("x")
    process = Project(project.folder, tmp_path / "file").start("cache", command)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 10
    one_error(stderr, "host-failed")


def test_what_the_system_says_gets_one_of_three_names() -> None:
    import errno

    from edgetool.disk import host_error

    def code(number: int) -> str:
        error = host_error(OSError(number, os.strerror(number), "file"), Path("elsewhere"))
        assert isinstance(error, HostError)
        assert error.where == "file"
        assert error.hint
        return error.code

    assert {code(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)} == {"disk-full"}
    assert {code(number) for number in (errno.EACCES, errno.EPERM, errno.EROFS)} == {"permission-denied"}
    assert {code(number) for number in (errno.EIO, errno.EMFILE, errno.ENOTDIR, errno.ELOOP)} == {"host-failed"}
    assert code(errno.ENOMEM) == "out-of-memory"
