"""`edgetool package` as users meet it: mistakes, places that are taken, full disks, and ends before the time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetool.bundle.read import read_bundle
from edgetool.errors import HostError
from edgetool.exporters.package import Package
from tests.firmware.damage import flip_byte
from tests.robust.project import one_error

Cli = Callable[..., subprocess.CompletedProcess[str]]
Run = Callable[..., Package]
Make = Callable[..., Path]

SLOW = pytest.mark.slow
FORMATS = ("tar", "deb", "oci", "oci-image", "triton")
"""Those that need no key."""

TARGETS = """\
schema = 1
[model]
name = "tiny"
source = "model.onnx"
[targets.ort]
backend = "onnxruntime"
[targets.ort.package]
formats = ["tar", "deb"]
[targets.ort.package.deb]
section = "science"
package = "from-the-file"
[targets.other]
backend = "onnxruntime"
"""


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_several_formats_into_a_folder(bundle: Path, run_cli: Cli, tmp_path: Path) -> None:
    done = run_cli(
        "package", bundle, "--format", "tar", "--format", "deb", "--format", "tar", "-o", tmp_path / "new/out"
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["packaged", str(tmp_path / "new/out/tiny-1.0.0-ort.tar")],
        ["packaged", str(tmp_path / "new/out/tiny-1.0.0-ort.deb")],
    ]
    assert _left(tmp_path / "new/out") == ["tiny-1.0.0-ort.deb", "tiny-1.0.0-ort.tar"]


def test_beside_the_bundle_and_as_json(bundle: Path, run_cli: Cli) -> None:
    done = run_cli("package", bundle.name, "--format", "oci", "--json", cwd=bundle.parent)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["packages"]
    assert row["format"] == "oci"
    assert row["facts"]["tag"] == "1.0.0"
    files = [path.stat().st_size for path in (bundle.parent / "tiny-1.0.0-ort-oci").rglob("*") if path.is_file()]
    assert row["size"] == sum(files)


def test_formats_and_options_from_the_targets_file(bundle: Path, run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "targets.toml").write_text(TARGETS)
    done = run_cli(
        "package", bundle, "-o", tmp_path / "out", "--option", "deb.package=asked-for", "--json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    rows = {row["format"]: row["facts"] for row in json.loads(done.stdout)["packages"]}
    assert set(rows) == {"tar", "deb"}
    assert rows["deb"]["package"] == "asked-for", "the command line wins"


@SLOW
def test_a_format_of_the_command_line_keeps_the_files_options(bundle: Path, run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.toml").write_text(TARGETS)
    done = run_cli(
        "package", bundle, "--format", "deb", "-o", tmp_path / "out", "--json", "--file", tmp_path / "elsewhere.toml"
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["packages"]
    assert row["facts"]["package"] == "from-the-file"


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code", "said"),
    [
        pytest.param((), "format-missing", 2, "tar", marks=SLOW),
        (("--format", "tra"), "unknown-exporter", 2, "tar"),
        (
            ("--format", "deb", "--option", "deb.colour=blue"),
            "invalid-package-option",
            2,
            "deb.colour: format 'deb' has no",
        ),
        (("--format", "deb", "--option", "deb.dependz=x"), "invalid-package-option", 2, "did you mean depends?"),
        (("--format", "swu", "--option", "swu.hardware=board"), "invalid-package-option", 2, "--option swu.hardware="),
        (("--format", "swu"), "invalid-package-option", 2, "boards that take the update"),
        pytest.param(
            ("--format", "deb", "--option", "deb.level=9"), "invalid-package-option", 2, "deb.level", marks=SLOW
        ),
        (("--format", "tar", "--option", "deb.level=1"), "invalid-package-option", 2, "'deb'"),
        (("--format", "deb", "--option", "level=1"), "invalid-package-option", 2, "FORMAT.KEY"),
        pytest.param(("--format", "deb", "--option", "deb.level"), "invalid-override", 2, "deb.level", marks=SLOW),
        pytest.param(
            ("--format", "deb", "--option", 'deb.path="/a b"'), "invalid-package-option", 2, "deb.path", marks=SLOW
        ),
    ],
)
def test_mistakes_on_the_command_line(
    bundle: Path, run_cli: Cli, tmp_path: Path, arguments: tuple[str, ...], code: str, exit_code: int, said: str
) -> None:
    done = run_cli("package", bundle, "-o", tmp_path / "out", *arguments)
    assert done.returncode == exit_code, done.stderr
    one_error(done.stderr, code)
    assert said in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_a_target_that_the_file_does_not_have(make_bundle: Make, run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "targets.toml").write_text(TARGETS)
    done = run_cli("package", make_bundle(target="gone"), "--file", tmp_path / "targets.toml", "--format", "tar")
    assert done.returncode == 2
    one_error(done.stderr, "unknown-target")


@pytest.mark.parametrize("damage", ["changed", pytest.param("added", marks=SLOW), pytest.param("link", marks=SLOW)])
def test_a_bundle_that_somebody_changed(bundle: Path, run_cli: Cli, tmp_path: Path, damage: str) -> None:
    if damage == "changed":
        flip_byte(bundle / "model" / "model.onnx")
    elif damage == "added":
        (bundle / "model" / "more").write_text("")
    else:
        (bundle / "model" / "model.onnx").unlink()
        (bundle / "model" / "model.onnx").symlink_to("/etc/passwd")
    done = run_cli("package", bundle, "--format", "tar", "-o", tmp_path / "out")
    assert done.returncode == 7, done.stderr
    one_error(done.stderr, "bundle-damaged")
    assert not (tmp_path / "out").exists()


@SLOW
def test_no_bundle_there(run_cli: Cli, tmp_path: Path) -> None:
    done = run_cli("package", tmp_path / "nothing.edgebundle", "--format", "tar")
    assert done.returncode == 2
    one_error(done.stderr, "bundle-not-found")


def test_a_package_that_is_there_stays_until_it_is_replaced(bundle: Path, run_cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    place = out / "tiny-1.0.0-ort.tar"
    place.write_text("mine")
    done = run_cli("package", bundle, "--format", "tar", "-o", out)
    assert done.returncode == 2
    one_error(done.stderr, "package-exists")
    assert place.read_text() == "mine"
    assert run_cli("package", bundle, "--format", "tar", "-o", out, "--overwrite").returncode == 0
    assert place.stat().st_size > 10_000
    assert _left(out) == [place.name]


def test_paths_with_spaces_and_signs(bundle: Path, run_cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "mein Ordner $(id) 'ü'\n"
    folder.mkdir()
    moved = bundle.rename(folder / "a b-1.0.0-ort.edgebundle")
    done = run_cli("package", moved, *(f"--format={name}" for name in ("tar", "deb", "oci", "triton")), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert _left(folder) == [
        "a b-1.0.0-ort-oci",
        "a b-1.0.0-ort-triton",
        "a b-1.0.0-ort.deb",
        "a b-1.0.0-ort.edgebundle",
        "a b-1.0.0-ort.tar",
    ]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", ["8k", "160k"])
def test_a_full_disk(make_bundle: Make, package: Run, small_disk: Callable[[str], Path], name: str, size: str) -> None:
    made = make_bundle(files={"engine.onnx": 200_000})
    disk = small_disk(size)
    with pytest.raises(HostError) as caught:
        package(made, name, output=disk)
    assert caught.value.code == "disk-full"
    assert caught.value.hint
    assert _left(disk) == []


def test_a_full_disk_keeps_the_old_package(
    make_bundle: Make, run_cli: Cli, package: Run, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("400k")
    old = package(make_bundle(), "tar", output=disk).path.read_bytes()
    shutil.rmtree(make_bundle())
    done = run_cli("package", make_bundle(files={"engine.onnx": 900_000}), "--format=tar", "-o", disk, "--overwrite")
    assert done.returncode == 10
    one_error(done.stderr, "disk-full")
    assert _left(disk) == ["net-1.2.0-ort.tar"]
    assert (disk / "net-1.2.0-ort.tar").read_bytes() == old


@SLOW
def test_a_folder_that_is_a_file(bundle: Path, run_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = run_cli("package", bundle, "--format", "tar", "-o", tmp_path / "file")
    assert done.returncode == 10
    one_error(done.stderr, "host-failed")


@pytest.fixture
def large(make_bundle: Make) -> Path:
    """A bundle that takes seconds to compress as `_slowly` asks for it."""
    return make_bundle(files={"engine.onnx": 30_000_000})


def _slowly(bundle: Path, out: Path) -> subprocess.Popen[str]:
    """Packaging, once it has begun to write."""
    arguments = ["package", str(bundle), "--format=deb", "--option", "deb.level=6", "-o", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgetool", *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 30
    while not list(out.glob(".*/new")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=SLOW), signal.SIGTERM])
def test_an_interrupt_leaves_nothing(large: Path, tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "out"
    process = _slowly(large, out)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    one_error(stderr, "interrupted-by-user")
    assert stdout == ""
    assert _left(out) == []


def test_what_a_killed_process_left_is_cleared(large: Path, run_cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = _slowly(large, out)
    process.kill()
    process.communicate(timeout=30)
    assert [name.startswith(".") for name in _left(out)] == [True], "no package, only what is cleared next time"
    done = run_cli("package", large, "--format=deb", "--option", "deb.compression=none", "-o", out)
    assert done.returncode == 0, done.stderr
    assert _left(out) == ["net-1.2.0-ort.deb"]


def _eight(bundle: Path, out: Path, *arguments: str) -> list[tuple[int, str]]:
    command = [sys.executable, "-m", "edgetool", "package", str(bundle), "--format=tar", "-o", str(out), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [subprocess.Popen(command, text=True, stderr=subprocess.PIPE, env=environment) for _ in range(8)]
    ends = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]
    return [(code, stderr) for stderr, code in ends]


def test_eight_at_once(bundle: Path, tmp_path: Path) -> None:
    ends = _eight(bundle, tmp_path / "out")
    assert sorted(code for code, _ in ends) == [0, 2, 2, 2, 2, 2, 2, 2]
    for code, stderr in ends:
        if code:
            one_error(stderr, "package-exists")
    assert _left(tmp_path / "out") == ["tiny-1.0.0-ort.tar"]


@SLOW
def test_eight_at_once_that_all_replace(bundle: Path, tmp_path: Path) -> None:
    assert {code for code, _ in _eight(bundle, tmp_path / "out", "--overwrite")} == {0}
    subprocess.run(["tar", "-xf", tmp_path / "out/tiny-1.0.0-ort.tar", "-C", tmp_path], check=True)
    assert read_bundle(tmp_path / bundle.name).content_digest == read_bundle(bundle).content_digest
    assert _left(tmp_path / "out") == ["tiny-1.0.0-ort.tar"]


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW) if name != "oci-image" else name for name in FORMATS])
def test_a_large_engine_is_never_in_memory(large: Path, run_cli: Cli, tmp_path: Path, name: str) -> None:
    """Less than the engine's size on top of what the same command takes for a small one."""
    options = {"oci-image": ["--option", "oci-image.architecture=amd64"], "deb": ["--option", "deb.compression=none"]}
    command = [sys.executable, "-m", "edgetool", "package", str(large), f"--format={name}", *options.get(name, [])]
    peak = f"import resource, subprocess, sys; code = subprocess.call({[*command, '-o', str(tmp_path)]!r}); "
    peak += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    done = subprocess.run([sys.executable, "-c", peak], capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) < 110_000, "KiB"
