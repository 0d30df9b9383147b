"""Jobs on a device: they outlive a connection, and nobody who wants them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgetool.errors import DeviceError, HostError
from edgetool_tensorrt.ssh import connect, scripts
from edgetool_tensorrt.ssh import job as job_module
from edgetool_tensorrt.ssh.job import Outcome, Task, running
from edgetool_tensorrt.ssh.store import parcel_of, upload
from tests.tensorrt.ssh_device import ALIAS, SshDevice, wait_until

FOLDER = ".cache/edgetool"


def ignore(_: object) -> None:
    """Nobody listens."""


def left(device: SshDevice) -> list[str]:
    """Files there, without the note on who built last."""
    return [name for name in device.files() if name != "holder"]


def task(device: SshDevice, text: str, *, name: str = "job", timing: str | None = None) -> Task:
    """A shell script as a job; its lock is a program of the device, as in earnest."""
    lock = device.bin / "trtexec"
    lock.touch()
    return Task(name, ("sh", "-c", text), str(lock), timing)


def run(device: SshDevice, text: str, *, name: str = "job", note: Callable[[str], None] = ignore) -> Outcome:
    with (
        connect(ALIAS) as connection,
        running(connection, FOLDER, task(device, text, name=name), note=note) as job,
    ):
        outcome = job.follow(ignore)
        job.leave()
        return outcome


def test_a_job_ends_with_its_code_and_its_whole_log(ssh_device: SshDevice) -> None:
    heard: list[str] = []

    def hear(lines: Sequence[str]) -> None:
        heard.extend(lines)

    with connect(ALIAS) as connection:
        work = task(ssh_device, "echo one; sleep 1; echo two >&2; printf three; exit 5")
        with running(connection, FOLDER, work, note=ignore) as job:
            assert job.follow(hear) == Outcome(5, "one\ntwo\nthree")
            job.leave()
    assert heard == ["one", "two", "three"]
    assert ssh_device.is_quiet(within=15)
    assert left(ssh_device) == []


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_the_scripts_run_in_every_usual_shell(
    ssh_device: SshDevice, shell: str, require_tool: Callable[[str], str]
) -> None:
    found = require_tool(shell)
    (ssh_device.bin / "sh").symlink_to(found)
    if shell == "busybox":
        for name in ("tar", "sha256sum", "setsid", "cmp", "find", "tail", "sleep", "wc", "nice", "awk", "df", "cat"):
            (ssh_device.bin / name).symlink_to(found)
    assert run(ssh_device, "sleep 0.5; echo done; exit 3") == Outcome(3, "done\n")
    with connect(ALIAS) as connection:
        (ssh_device.folder / "a file").write_bytes(b"x" * 100_000)
        parcel = parcel_of({"deep/a file": ssh_device.folder / "a file"})
        assert [upload(connection, FOLDER, parcel) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("name", sorted(path.stem for path in Path(scripts.__file__).parent.glob("*.sh")))
def test_the_scripts_are_plain_posix(name: str, require_tool: Callable[[str], str], tmp_path: Path) -> None:
    text = scripts.script(*([] if name == "prelude" else [name]))
    path = tmp_path / f"{name}.sh"
    path.write_text(f"#!/bin/sh\n{text}")
    command = [require_tool("shellcheck"), "--shell=sh", "--severity=warning", "--format=gcc", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_files_travel_with_a_job_and_back(ssh_device: SshDevice, tmp_path: Path) -> None:
    given = tmp_path / "given.bin"
    given.write_bytes(bytes(range(256)) * 1000)
    work = task(ssh_device, "tr '\\000-\\377' '\\001-\\377\\000' <in.bin >out.bin")
    work = Task(work.name, work.command, work.lock, None, {"in.bin": given})
    with connect(ALIAS) as connection, running(connection, FOLDER, work, note=ignore) as job:
        assert job.follow(ignore).code == 0
        found = job.fetch(["out.bin", "not-there"], tmp_path)
        job.leave()
    assert list(found) == ["out.bin"]
    assert (tmp_path / "out.bin").read_bytes() == bytes((value + 1) % 256 for value in given.read_bytes())


def test_an_error_on_our_side_ends_the_job(ssh_device: SshDevice) -> None:
    work = task(ssh_device, "sleep 60 & sleep 60")
    with connect(ALIAS) as connection:
        with pytest.raises(ZeroDivisionError), running(connection, FOLDER, work, note=ignore):
            assert ssh_device.running()
            raise ZeroDivisionError
        assert ssh_device.is_quiet(within=15)
    assert left(ssh_device) == []


CLIENT = """
import sys
from edgetool_tensorrt.ssh import connect, scripts
from edgetool_tensorrt.ssh.job import Task, running
with connect("board") as connection:
    task = Task("job", ("sh", "-c", sys.argv[2]), sys.argv[1])
    with running(connection, ".cache/edgetool", task, note=lambda text: None) as job:
        print("started", flush=True)
        job.follow(lambda lines: None)
"""


def client(device: SshDevice, text: str) -> subprocess.Popen[str]:
    lock = device.bin / "trtexec"
    lock.touch()
    command = [sys.executable, "-c", CLIENT, str(lock), text]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.stdout.close()
    return process


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_client_leaves_nothing_running(ssh_device: SshDevice, how: signal.Signals) -> None:
    process = client(ssh_device, "trap '' TERM; sleep 60 & sleep 60; sleep 60")
    assert any("sleep 60" in line for line in ssh_device.running())
    os.killpg(process.pid, how)
    process.wait()
    assert ssh_device.is_quiet(within=15), ssh_device.running()
    assert wait_until(lambda: left(ssh_device) == [], seconds=3)


@pytest.mark.slow
def test_a_job_that_nobody_asks_for_any_more_ends(ssh_device: SshDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's machine went away with its network: neither it nor its guard can say anything."""
    monkeypatch.setattr(job_module, "PATIENCE", 2)
    work = task(ssh_device, "trap '' TERM; sleep 60; sleep 60")
    with connect(ALIAS) as connection:
        job = job_module.Job(connection, FOLDER, work, note=ignore)
        job.start()
        ssh_device.stop()
        assert ssh_device.running()
        assert ssh_device.is_quiet(within=15), ssh_device.running()
        job.close()


@pytest.mark.slow
def test_a_job_outlives_a_broken_connection(ssh_device: SshDevice) -> None:
    notes: list[str] = []
    heard: list[str] = []

    def hear(lines: Sequence[str]) -> None:
        if "2" in lines:
            ssh_device.drop_connections()
        heard.extend(lines)

    work = task(ssh_device, "for n in 1 2 3 4 5 6; do echo $n; sleep 0.7; done")
    with connect(ALIAS, note=notes.append) as connection, running(connection, FOLDER, work, note=ignore) as job:
        assert job.follow(hear) == Outcome(0, "1\n2\n3\n4\n5\n6\n")
        job.leave()
    assert heard == list("123456")
    assert any("broke" in note for note in notes)
    assert any("again" in note for note in notes)


@pytest.mark.slow
def test_the_device_may_be_away_for_a_while(ssh_device: SshDevice) -> None:
    def restart() -> None:
        time.sleep(0.5)
        ssh_device.stop()
        time.sleep(2)
        ssh_device.start()

    restarter = threading.Thread(target=restart)
    restarter.start()
    assert run(ssh_device, "echo a; sleep 3; echo b") == Outcome(0, "a\nb\n")
    restarter.join()


@pytest.mark.slow
def test_the_same_job_is_joined_and_another_waits(ssh_device: SshDevice) -> None:
    notes: list[list[str]] = [[], [], []]
    text = "echo x >>$HOME/ran; sleep 2"
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(run, ssh_device, text, note=notes[0].append)
        assert wait_until((ssh_device.home / "ran").exists, seconds=5)
        second = pool.submit(run, ssh_device, text, note=notes[1].append)
        third = pool.submit(run, ssh_device, text, name="other", note=notes[2].append)
        assert {job.result().code for job in (first, second, third)} == {0}
    assert (ssh_device.home / "ran").read_text() == "x\nx\n"
    assert notes[0] == []
    assert ["joined" in note for note in notes[1]] == [True]
    assert ["waiting for a turn" in note and "is at it" in note for note in notes[2]] == [True]


@pytest.mark.slow
def test_eight_clients_at_once_run_a_job_once(ssh_device: SshDevice) -> None:
    text = "echo x >>$HOME/ran; sleep 3; echo ok"
    with ThreadPoolExecutor(8) as pool:
        outcomes = [job.result() for job in [pool.submit(run, ssh_device, text) for _ in range(8)]]
    assert outcomes == [Outcome(0, "ok\n")] * 8
    assert (ssh_device.home / "ran").read_text() == "x\n"
    assert left(ssh_device) == []
    assert ssh_device.is_quiet(within=15)


@pytest.mark.parametrize("flock", [True, False])
def test_jobs_take_turns(ssh_device: SshDevice, flock: bool) -> None:
    if not flock:
        without(ssh_device, "flock")
    text = "[ ! -e $HOME/busy ] || echo clash; : >$HOME/busy; sleep 0.5; rm $HOME/busy"
    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(lambda name: run(ssh_device, text, name=name), ("a", "b", "c")))
    assert outcomes == [Outcome(0, "")] * 3


def without(device: SshDevice, program: str) -> None:
    """Take one program away: PATH then holds links to all others."""
    for folder in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for path in Path(folder).iterdir():
            link = device.bin / path.name
            if path.name != program and not link.exists():
                link.symlink_to(path)
    device.stop()
    device.settings["SetEnv"] = f'"HOME={device.home}" "PATH={device.bin}"'
    device.start()


@pytest.mark.slow
def test_a_job_whose_device_restarted_is_missed(ssh_device: SshDevice) -> None:
    work = task(ssh_device, "echo here; sleep 60")

    def kill(lines: Sequence[str]) -> None:
        if "here" in lines:
            for path in ssh_device.home.rglob("pid"):
                os.killpg(int(path.read_text().split()[0]), signal.SIGKILL)

    with (
        connect(ALIAS) as connection,
        pytest.raises(HostError) as caught,
        running(connection, FOLDER, work, note=ignore) as job,
    ):
        job.follow(kill)
    assert caught.value.code == "job-vanished"


def test_a_result_that_nobody_fetched_is_taken_by_the_next_who_asks(ssh_device: SshDevice) -> None:
    text = "echo x >>$HOME/ran; echo made >result"
    with connect(ALIAS) as connection:
        job = job_module.Job(connection, FOLDER, task(ssh_device, text), note=ignore)
        job.start()
        job.follow(ignore)
        job.close()
    assert run(ssh_device, text).code == 0
    assert (ssh_device.home / "ran").read_text() == "x\n"


def test_a_failed_job_is_not_joined(ssh_device: SshDevice) -> None:
    text = "echo x >>$HOME/ran; exit 1"
    with connect(ALIAS) as connection:
        job = job_module.Job(connection, FOLDER, task(ssh_device, text), note=ignore)
        job.start()
        job.follow(ignore)
        job.close()
    assert run(ssh_device, text).code == 1
    assert (ssh_device.home / "ran").read_text() == "x\nx\n"


@pytest.mark.slow
def test_a_timing_cache_is_kept_only_after_success(ssh_device: SshDevice) -> None:
    def build(text: str) -> None:
        work = task(ssh_device, text, timing="board.cache")
        with connect(ALIAS) as connection, running(connection, FOLDER, work, note=ignore) as job:
            job.follow(ignore)
            job.leave()

    kept = ssh_device.home / FOLDER / "timing" / "board.cache"
    build("echo broken >timing.cache; exit 1")
    assert not kept.exists()
    build("echo one >timing.cache")
    build("cat timing.cache >more; echo two >>more; mv more timing.cache")
    assert kept.read_text() == "one\ntwo\n"


def test_a_full_disk_leaves_nothing_half_written(ssh_device: SshDevice, tmp_path: Path) -> None:
    small_disk(ssh_device)
    (tmp_path / "big").write_bytes(os.urandom(3 << 20))
    with connect(ALIAS) as connection, pytest.raises(HostError) as caught:
        upload(connection, FOLDER, parcel_of({"big": tmp_path / "big"}))
    assert caught.value.code == "device-disk-full"
    assert caught.value.exit_code == 10
    assert ssh_device.files() == []


def small_disk(device: SshDevice) -> None:
    """Lets processes of the device write files of 1 MiB at most: what a quota does, without being root."""
    device.stop()
    device.settings["ForceCommand"] = 'ulimit -f 1024; trap "" XFSZ; eval "$SSH_ORIGINAL_COMMAND"'
    device.start()


def test_what_is_cut_short_on_the_way_is_not_taken(ssh_device: SshDevice, tmp_path: Path) -> None:
    ssh_device.program("tar", 'case $1 in -c*) /usr/bin/tar "$@" | head -c 1500 ;; *) exec /usr/bin/tar "$@" ;; esac\n')
    work = task(ssh_device, "head -c 5000 /dev/zero >out.bin")
    with (
        connect(ALIAS) as connection,
        pytest.raises(HostError) as caught,
        running(connection, FOLDER, work, note=ignore) as job,
    ):
        job.follow(ignore)
        job.fetch(["out.bin"], tmp_path)
    assert caught.value.code == "damaged-transfer"


def test_a_folder_that_cannot_be_written_to_is_named_as_such(ssh_device: SshDevice, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with connect(ALIAS) as connection, pytest.raises(DeviceError) as caught:
        upload(connection, "/proc/nowhere", parcel_of({"file": tmp_path / "file"}))
    assert caught.value.exit_code == 6
    assert "device_folder" in str(caught.value.hint) or "look" in str(caught.value.hint)


def test_a_damaged_file_in_the_store_is_sent_again(ssh_device: SshDevice, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    parcel = parcel_of({"file": tmp_path / "file"})
    with connect(ALIAS) as connection:
        assert upload(connection, FOLDER, parcel)
        (ssh_device.home / FOLDER / parcel.place / "file").write_text("damaged!")
        assert upload(connection, FOLDER, parcel)
        assert not upload(connection, FOLDER, parcel)
    assert (ssh_device.home / FOLDER / parcel.place / "file").read_text() == "precious"
    assert ssh_device.files() == [f"{parcel.place}/file"]


def test_eight_clients_that_send_the_same_leave_one_copy(ssh_device: SshDevice, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(1 << 20))
    parcel = parcel_of({"file": tmp_path / "file"})

    def send(_: int) -> None:
        with connect(ALIAS) as connection:
            upload(connection, FOLDER, parcel)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(8)))
    assert ssh_device.files() == [f"{parcel.place}/file"]
