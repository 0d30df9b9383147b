"""Builds of a kit that are cut off, doubled or without room: the old engine stays, or none, or the new one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tensorrt.kit_bundle import KitDevice, error_code

WORK = ".build-engine"


def wait_for(condition: Callable[[], bool], *, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def running(device: KitDevice) -> list[int]:
    """Processes that work for this device."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            folder = str((process / "cwd").readlink())
        except OSError:
            continue
        mine = str(device.output.parent)
        if int(process.name) != os.getpid() and (f"{mine}/" in command or folder.startswith(f"{mine}/")):
            found.append(int(process.name))
    return found


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system of some size, or a read-only one."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        if os.geteuid() != 0:
            pytest.skip("only root may mount a small file system")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
        if done.returncode:
            if os.environ.get("CI"):
                pytest.fail(f"root cannot mount in CI: {done.stderr}")
            pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(
    ("any_shell", "number"), [("dash", signal.SIGINT), ("busybox", signal.SIGTERM)], indirect=["any_shell"]
)
def test_whoever_interrupts_it_leaves_nothing_running(
    built_device: KitDevice, any_shell: str, number: signal.Signals
) -> None:
    built_device.stand_in.set_faults(slow=60)
    script = built_device.start("--output", built_device.output, "--rebuild")
    wait_for(lambda: built_device.builds() == 1)
    script.send_signal(number)
    output, _ = script.communicate(timeout=20)
    assert script.returncode == 130, output
    assert "error[interrupted-by-user]" in output
    wait_for(lambda: not running(built_device), seconds=3)
    assert not (built_device.output / WORK).exists()
    assert "&&&& RUNNING" in (built_device.output / "build-engine.log").read_text()
    assert built_device.check().returncode == 0, "the old engine is still there"


def test_a_killed_build_is_cleared_away_by_the_next(kit_device: KitDevice) -> None:
    kit_device.stand_in.set_faults(slow=60)
    script = kit_device.start("--output", kit_device.output)
    wait_for(lambda: kit_device.builds() == 1)
    script.kill()
    script.wait()
    assert (kit_device.output / WORK).is_dir()
    assert error_code(kit_device.check()) == "engine-missing"
    orphans = running(kit_device)
    assert orphans, "trtexec outlives its script"
    kit_device.stand_in.set_faults()
    done = kit_device.build()
    assert done.returncode == 0, done.stderr
    assert "which an earlier run left behind" in done.stderr
    wait_for(lambda: not running(kit_device), seconds=3)
    assert WORK not in kit_device.files()


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.35, 0.5, 0.7, 0.9, 1.1, 1.4, 1.8, 2.2, 2.6])
def test_killed_at_any_moment(built_device: KitDevice, seconds: float) -> None:
    """Power fails at some moment of a rebuild."""
    script = built_device.start("--output", built_device.output, "--rebuild")
    time.sleep(seconds)
    script.kill()
    script.wait()
    checked = built_device.check()
    assert checked.returncode in (0, 7)
    if checked.returncode == 7:
        assert error_code(checked) == "engine-missing"
    done = built_device.build()
    assert done.returncode == 0, done.stderr
    assert built_device.check().returncode == 0
    assert WORK not in built_device.files()


@pytest.mark.parametrize("left", [["engine.plan"], ["engine.plan", "engine.json.sig"], ["engine.json"]])
def test_power_fails_between_two_renames(built_device: KitDevice, left: list[str]) -> None:
    for name in built_device.files():
        if name not in left:
            (built_device.output / name).unlink()
    for name in left:
        (built_device.output / name).touch()
    checked = built_device.check()
    assert (checked.returncode, error_code(checked)) == (7, "engine-missing")


def test_of_two_at_once_one_waits(kit_device: KitDevice) -> None:
    kit_device.stand_in.set_faults(slow=2)
    first = kit_device.start("--output", kit_device.output)
    wait_for(lambda: kit_device.builds() == 1)
    second = kit_device.build()
    assert second.returncode == 0, second.stderr
    assert "waiting for another build" in second.stderr
    assert "nothing to do" in second.stderr
    first.communicate(timeout=20)
    assert first.returncode == 0
    assert kit_device.builds() == 1


@pytest.mark.slow
def test_eight_at_once_build_one_engine(kit_device: KitDevice, any_shell: str) -> None:
    scripts = [kit_device.start("--output", kit_device.output) for _ in range(8)]
    said = [script.communicate(timeout=120)[0] for script in scripts]
    assert [script.returncode for script in scripts] == [0] * 8, said
    assert kit_device.builds() == 1
    assert kit_device.check().returncode == 0


def test_too_little_room_is_found_before_the_build(kit_device: KitDevice, small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("size=64k")
    done = kit_device.run("--output", disk / "out")
    assert (done.returncode, error_code(done)) == (10, "disk-full")
    assert "KiB left" in done.stderr
    assert kit_device.builds() == 0
    assert not (disk / "out" / WORK).exists()


def test_a_disk_that_fills_up_meanwhile(built_device: KitDevice, small_disk: Callable[[str], Path]) -> None:
    """The old engine survives, and nothing half-written stays."""
    disk = small_disk("size=32m")
    device = KitDevice(
        built_device.stand_in, built_device.programs, built_device.shell, built_device.bundle, disk / "out"
    )
    shutil.copytree(built_device.output, device.output)
    before = device.files()
    device.stand_in.set_faults(slow=2)
    script = device.start("--output", device.output, "--rebuild")
    wait_for(lambda: device.builds() == 1)
    (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - 32768))
    output, _ = script.communicate(timeout=30)
    assert script.returncode == 10, output
    assert "error[disk-full]" in output
    assert device.files() == before
    assert device.check().returncode == 0


def test_a_read_only_output_folder(built_device: KitDevice, small_disk: Callable[[str], Path]) -> None:
    """Engines may be checked where they cannot be built."""
    disk = small_disk("size=32m")
    device = KitDevice(
        built_device.stand_in, built_device.programs, built_device.shell, built_device.bundle, disk / "out"
    )
    shutil.copytree(built_device.output, device.output)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    assert device.check().returncode == 0
    done = device.build("--rebuild")
    assert (done.returncode, error_code(done)) == (10, "permission-denied")
