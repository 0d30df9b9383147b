"""`edgetool-switch`: two versions, of which exactly one is active, whenever the power fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetool_firmware.health import programs
from tests.firmware.damage import flip_byte
from tests.firmware.device_shell import DeviceShell, interfere, make_device, tree_state

HEALTH, SWITCH = programs()
Make = Callable[..., Path]
SLOW = pytest.mark.slow
WRITERS = ("cp", "ln", "mkdir", "mv", "rm", "sync")


@pytest.fixture(params=["dash", "busybox"])
def device(request: pytest.FixtureRequest, require_tool: Callable[[str], str], tmp_path: Path) -> DeviceShell:
    return make_device(tmp_path / "device", require_tool, busybox=request.param == "busybox")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where applications open the model."""
    folder = tmp_path / "models"
    folder.mkdir()
    return folder / "net"


@pytest.fixture
def old(make_bundle: Make) -> Path:
    return make_bundle(version="1.0.0", files={"engine.onnx": b"old"})


@pytest.fixture
def new(make_bundle: Make) -> Path:
    bundle = make_bundle(version="2.0.0", files={"engine.onnx": b"new"})
    bundle.with_name(bundle.name + ".sig").write_text("signed")
    return bundle


def active(place: Path) -> str | None:
    """The engine that an application would load."""
    engine = place / "model" / "engine.onnx"
    return engine.read_text() if engine.is_file() else None


def ill(bundle: Path) -> Path:
    """A bundle whose self-test passes where it is unpacked and fails where it is used."""
    program = bundle.with_name(bundle.name + ".selftest")
    program.write_text("#!/bin/sh\ncase $1 in */.new.*) exit 0 ;; esac\nexit 1\n")
    program.chmod(0o755)
    return bundle


def test_install_and_check(device: DeviceShell, place: Path, old: Path, new: Path) -> None:
    assert device.run(SWITCH, "install", place, old).returncode == 0
    assert device.run(SWITCH, "check", place).returncode == 0
    done = device.run(SWITCH, "install", place, f"{new}/")
    assert done.returncode == 0, done.stderr
    assert active(place) == "new"
    assert place.with_name("net.sig").read_text() == "signed"
    assert "on trial" in device.run(SWITCH, "status", place).stdout
    assert device.run(SWITCH, "check", place).returncode == 0
    assert "on trial" not in device.run(SWITCH, "status", place).stdout
    assert new.is_dir(), "the source is copied"


def test_back_by_hand(device: DeviceShell, place: Path, old: Path, new: Path) -> None:
    for bundle in (old, new):
        device.run(SWITCH, "install", place, bundle)
        device.run(SWITCH, "check", place)
    assert device.run(SWITCH, "rollback", place).returncode == 0
    assert active(place) == "old"
    assert not place.with_name("net.sig").exists(), "the signature goes with its bundle"
    again = device.run(SWITCH, "rollback", place)
    assert (again.returncode, "error[nothing-before]" in again.stderr) == (2, True)


def test_an_ill_version_goes_back_by_itself(device: DeviceShell, place: Path, old: Path, new: Path) -> None:
    device.run(SWITCH, "install", place, old)
    device.run(SWITCH, "check", place)
    assert device.run(SWITCH, "install", place, ill(new)).returncode == 0
    assert active(place) == "new"
    done = device.run(SWITCH, "check", place)
    assert done.returncode == 4
    assert active(place) == "old"
    assert device.run(SWITCH, "check", place).returncode == 0


def test_what_was_found_healthy_once_is_not_taken_back(device: DeviceShell, place: Path, old: Path, new: Path) -> None:
    """A check that fails later is somebody's decision: the version before may be worse."""
    for bundle in (old, new):
        device.run(SWITCH, "install", place, bundle)
        device.run(SWITCH, "check", place)
    flip_byte((place / "model" / "engine.onnx").resolve())
    assert device.run(SWITCH, "check", place).returncode == 7
    assert active(place) != "old"


def test_a_second_install_on_trial_keeps_the_way_back(
    device: DeviceShell, place: Path, old: Path, new: Path, make_bundle: Make
) -> None:
    device.run(SWITCH, "install", place, old)
    device.run(SWITCH, "check", place)
    device.run(SWITCH, "install", place, new)
    device.run(SWITCH, "install", place, ill(make_bundle(version="3.0.0")))
    assert device.run(SWITCH, "check", place).returncode == 4
    assert active(place) == "old"


def test_a_damaged_bundle_never_becomes_active(device: DeviceShell, place: Path, old: Path, new: Path) -> None:
    device.run(SWITCH, "install", place, old)
    before = tree_state(place.parent)
    flip_byte(new / "model" / "engine.onnx")
    assert device.run(SWITCH, "install", place, new).returncode == 7
    assert tree_state(place.parent) == before


def test_a_damaged_active_version_is_replaced_by_the_same(device: DeviceShell, place: Path, old: Path) -> None:
    device.run(SWITCH, "install", place, old)
    flip_byte((place / "model" / "engine.onnx").resolve())
    assert device.run(SWITCH, "install", place, old).returncode == 0
    assert device.run(SWITCH, "check", place).returncode == 0
    assert active(place) == "old"


def test_only_two_versions_stay(device: DeviceShell, place: Path, make_bundle: Make) -> None:
    for number in range(4):
        device.run(
            SWITCH, "install", place, make_bundle(version=f"{number}.0.0", files={"engine.onnx": b"%d" % number})
        )
        device.run(SWITCH, "check", place)
    device.run(SWITCH, "install", place, make_bundle(version="9.0.0"))
    folders = [path for path in place.with_name("net.d").iterdir() if not path.is_symlink()]
    assert len(folders) == 3, "the new one, the one before, and the one that the next install clears"


def test_moved_instead_of_copied(device: DeviceShell, place: Path, new: Path) -> None:
    incoming = place.with_name("net.d") / "incoming"
    incoming.mkdir(parents=True)
    for path in (new, new.with_name(new.name + ".sig")):
        path.rename(incoming / path.name)
    done = device.run(SWITCH, "install", "--move", place, incoming / new.name)
    assert done.returncode == 0, done.stderr
    assert active(place) == "new"
    assert place.with_name("net.sig").is_file()
    assert not list(incoming.iterdir())


@pytest.mark.parametrize("times", [1, 2])
def test_abandoned(device: DeviceShell, place: Path, old: Path, new: Path, times: int) -> None:
    device.run(SWITCH, "install", place, old)
    device.run(SWITCH, "check", place)
    device.run(SWITCH, "install", place, new)
    for _ in range(times):
        assert device.run(SWITCH, "abandon", place).returncode == 0
        assert active(place) == "old"


def test_abandoned_with_nothing_before(device: DeviceShell, place: Path, new: Path) -> None:
    assert device.run(SWITCH, "abandon", place).returncode == 0
    device.run(SWITCH, "install", place, new)
    for _ in range(2):
        assert device.run(SWITCH, "abandon", place).returncode == 0
        assert not place.is_symlink()
        assert not place.with_name("net.sig").is_symlink()
    assert device.run(SWITCH, "install", place, new).returncode == 0
    assert active(place) == "new"


def test_abandoning_what_was_kept_changes_nothing(device: DeviceShell, place: Path, old: Path, new: Path) -> None:
    for bundle in (old, new):
        device.run(SWITCH, "install", place, bundle)
        device.run(SWITCH, "check", place)
    before = tree_state(place.parent)
    assert device.run(SWITCH, "abandon", place).returncode == 0
    assert tree_state(place.parent) == before


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), "bad-usage"),
        (("install",), "bad-usage"),
        (("install", "relative", "x"), "bad-usage"),
        (("install", "/a/", "x"), "bad-usage"),
        (("remove", "/a"), "bad-usage"),
        (("install", "{place}", "/nowhere"), "bundle-not-found"),
        (("check", "{place}"), "nothing-active"),
        (("rollback", "{place}"), "nothing-active"),
    ],
)
def test_wrong_usage(device: DeviceShell, place: Path, arguments: tuple[str, ...], code: str) -> None:
    done = device.run(SWITCH, *(text.format(place=place) for text in arguments))
    assert (done.returncode, f"error[{code}]" in done.stderr) == (2, True)
    assert not list(place.parent.iterdir())


def test_a_folder_in_the_place_is_not_touched(device: DeviceShell, place: Path, new: Path) -> None:
    place.mkdir()
    (place / "mine").write_text("")
    assert device.run(SWITCH, "install", place, new).returncode == 2
    assert [path.name for path in place.parent.iterdir()] == ["net"]


@pytest.mark.parametrize("size", ["8k", "40k"])
def test_a_full_disk_leaves_the_old_one(
    device: DeviceShell, old: Path, make_bundle: Make, small_disk: Callable[[str], Path], size: str
) -> None:
    large = make_bundle(version="2.0.0", files={"engine.plan": 200_000})
    place = small_disk("160k") / "net"
    device.run(SWITCH, "install", place, old)
    assert active(place) == "old"
    (place.parent / "ballast").write_bytes(b"x" * (120_000 if size == "8k" else 60_000))
    assert device.run(SWITCH, "install", place, large).returncode == 10
    assert active(place) == "old"
    assert not list(place.with_name("net.d").glob(".new*"))
    assert device.run(SWITCH, "check", place).returncode == 0


def _failing_at(device: DeviceShell, step: int, counter: Path) -> None:
    """The power fails before the n-th program that writes: the script and all its programs are gone."""
    counter.write_text("0\n")
    interfere(
        device.programs,
        WRITERS,
        f"read -r n <{counter} || exit 1\necho $((n + 1)) >{counter}\n[ $n -lt {step} ] || kill -9 0",
    )


@pytest.mark.parametrize(
    "command",
    [
        "abandon", "check-well",
        *(pytest.param(name, marks=SLOW) for name in ("install", "move", "rollback", "check-ill", "first")),
    ],
)  # fmt: skip
def test_the_power_fails_at_each_step(
    command: str, require_tool: Callable[[str], str], tmp_path: Path, old: Path, new: Path, make_bundle: Make
) -> None:
    """Whatever was cut short: old or new is active and whole, and the next start brings order."""
    device = make_device(tmp_path / "device", require_tool, busybox=False)
    template = tmp_path / "template"
    template.mkdir()
    prepared = template / "net"
    if command != "first":
        device.run(SWITCH, "install", prepared, old)
        device.run(SWITCH, "check", prepared)
    if command in ("abandon", "rollback", "check-well", "check-ill"):
        device.run(SWITCH, "install", prepared, ill(new) if command == "check-ill" else new)
    latest = make_bundle(version="3.0.0", files={"engine.onnx": b"latest"})
    outcomes: list[str | None] = []
    for step in range(60):
        folder = tmp_path / f"step{step}"
        shutil.copytree(template, folder, symlinks=True)
        place = folder / "net"
        cut = make_device(tmp_path / f"device{step}", require_tool, busybox=False)
        _failing_at(cut, step, cut.etc / "counter")
        if command in ("install", "first"):
            done = cut.run(SWITCH, "install", place, new)
        elif command == "move":
            shutil.copytree(new, folder / "incoming")
            done = cut.run(SWITCH, "install", "--move", place, folder / "incoming")
        else:
            done = cut.run(SWITCH, command.partition("-")[0], place)
        outcomes.append(active(place))
        assert outcomes[-1] in ({"old", "new"} if command != "first" else {None, "new"})
        if outcomes[-1] is not None:
            assert device.run(HEALTH, "--selftest", "/bin/true", place).returncode == 0, f"step {step}"
        # At the next start.
        device.run(SWITCH, "check", place)
        if command == "check-ill":
            assert active(place) == "old"
        assert active(place) in ({"old", "new"} if command != "first" else {None, "new"})
        assert device.run(SWITCH, "install", place, latest).returncode == 0
        assert active(place) == "latest"
        leftovers = [path.name for path in place.with_name("net.d").iterdir() if path.name.startswith(".")]
        assert not leftovers, f"step {step}"
        shutil.rmtree(folder)
        if done.returncode != -9:
            break
    else:
        pytest.fail("it never ends")
    expected = {"install": "new", "move": "new", "first": "new", "check-well": "new"}.get(command, "old")
    assert outcomes[-1] == expected, done.stderr
    assert len(set(outcomes)) == (1 if command == "check-well" else 2), "both sides of the switch were seen"


def test_of_two_at_once_one_is_told_to_wait(
    device: DeviceShell, place: Path, new: Path, require_tool: Callable[[str], str]
) -> None:
    import fcntl

    (device.programs / "flock").symlink_to(require_tool("flock"))
    place.with_name("net.d").mkdir()
    lock = os.open(place.with_name("net.d"), os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = device.run(SWITCH, "install", place, new)
    finally:
        os.close(lock)
    assert (done.returncode, "error[host-busy]" in done.stderr) == (10, True)
    assert device.run(SWITCH, "install", place, new).returncode == 0


def test_without_edgetool_health_nothing_is_installed(
    device: DeviceShell, place: Path, new: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone" / SWITCH.name
    alone.parent.mkdir()
    shutil.copy(SWITCH, alone)
    assert device.run(alone, "install", place, new).returncode == 5
    assert not list(place.parent.iterdir())
