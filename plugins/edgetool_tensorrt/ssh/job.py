"""A program that runs on the device in a process group of its own, whatever happens to the connection.

It goes on while the connection is broken, and is followed from the byte of its log that was read last. It ends when
it is cancelled, when whoever asked for it is killed (`guard`), or when nobody has asked for it for `PATIENCE` seconds.
Jobs take turns on a device: a build that shares the GPU measures its kernels wrongly. Clients that ask for the same
job share it, and the last one clears it away.
"""

from __future__ import annotations

import getpass
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from edgetool.errors import EdgetoolError, HostError
from edgetool_tensorrt.ssh.connection import Connection
from edgetool_tensorrt.ssh.delivery import receive
from edgetool_tensorrt.ssh.guard import Guard
from edgetool_tensorrt.ssh.refusals import connection_lost, device_disk_full
from edgetool_tensorrt.ssh.scripts import script
from edgetool_tensorrt.ssh.store import Parcel, tar_of

PATIENCE = 90
"""Seconds that a job outlives its last client: longer than a broken connection may take to come back."""

Heard = Callable[[Sequence[str]], None]
"""Told the new lines of a job's log; with none of them now and then, while it is silent."""

_WINDOW = 5  # seconds that the device waits for something to tell
_PAUSE = 0.15  # seconds between two questions, at least
_STARTS = 3
_FULL = 1024  # KiB; a job that vanished with less left most likely could not write


@dataclass(frozen=True, slots=True)
class Task:
    """What is to run.

    Attributes:
        name: of the job: the same name means the same work, which clients then share.
        command: program and arguments; paths are absolute, or relative to the job's folder.
        lock: file on the device whose lock makes jobs take turns: trtexec itself, the same file for every login.
        timing: name of the timing cache that is kept between jobs, copied in as `timing.cache`; None for none.
        files: that the job reads: name in its folder to file here.
    """

    name: str
    command: tuple[str, ...]
    lock: str
    timing: str | None = None
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: its exit code, and everything that it printed."""

    code: int
    log: str


@dataclass(frozen=True, slots=True)
class _Status:
    """One answer: how the job stands, what more there is to say of that, and new bytes of the log."""

    word: str
    detail: str
    log: bytes


class Job:
    """A task on its device; made by `running`."""

    def __init__(self, connection: Connection, folder: str, task: Task, *, note: Callable[[str], None]) -> None:
        self._connection = connection
        self._folder = folder
        self._task = task
        self._note = note
        self._client = secrets.token_hex(8)
        self._guard: Guard | None = None

    def start(self) -> None:
        """Start it, or join it where it runs already or has left its result. Raises as `Connection.must`."""
        if self._guard is None:
            cancel = (script("job_cancel"), self._folder, self._task.name, self._client)
            self._guard = Guard(self._connection.command(*cancel, shared=False))
        with TemporaryDirectory() as scratch:
            supervise = Path(scratch) / "supervise"
            supervise.write_text(script("supervise"), encoding="utf-8")
            done = self._connection.must(
                "starting the job",
                script("job_start"),
                *(self._folder, self._task.name, self._client, str(PATIENCE), self._task.lock),
                *(self._task.timing or "", f"{getpass.getuser()} at {socket.gethostname()}"),
                *self._task.command,
                feed=tar_of({"supervise": supervise, **self._task.files}),
                timeout=None,
            )
        if done.text.strip() == "joined":
            self._note(f"joined the same job, which {self._where} already had")

    def follow(self, heard: Heard) -> Outcome:
        """Wait for its end.

        Raises:
            HostError: `connection-lost`, `device-disk-full`, `job-vanished`.
            DeviceError: as `Connection.must`.
        """
        log, told, starts = bytearray(), 0, 1
        status = _Status("running", "", b"")
        while True:
            before, status = status, self._ask(len(log), status.word)
            log += status.log
            end = len(log) if status.word == "ended" else log.rfind(b"\n") + 1
            heard(log[told:end].decode(errors="replace").splitlines())
            told = end
            if status.word == "ended" and status.detail.isdigit():
                return Outcome(int(status.detail), log.decode(errors="replace"))
            if status.word == "gone" and starts < _STARTS:  # cleared away by a client that was done with it
                starts += 1
                log, told = bytearray(), 0
                self.start()
            elif status.word not in ("running", "waiting"):
                raise self._lost(status)
            if status.word == "waiting" != before.word:
                holder = f": {status.detail} is at it" if status.detail else ""
                self._note(f"waiting for a turn on {self._where}{holder}")
            time.sleep(_PAUSE)

    def fetch(self, names: Sequence[str], into: Path) -> dict[str, Path]:
        """Files of the job that are there, compared by their digests. Raises as `receive`."""
        return receive(self._connection, script("job_fetch"), self._folder, self._task.name, *names, into=into)

    def cancel(self) -> None:
        """End it, unless another client wants it; it is cleared away. Raises as `Connection.must`."""
        cancel = (script("job_cancel"), self._folder, self._task.name, self._client)
        self._connection.must("cancelling the job", *cancel)

    def leave(self, *, keep: Parcel | None = None) -> None:
        """Say that we are done with it. Raises as `Connection.must`.

        Args:
            keep: one file of it, to be moved into the device's store.
        """
        name, digest = (next(iter(keep.files)), keep.digest) if keep else ("", "")
        arguments = (self._folder, self._task.name, self._client, name, digest)
        self._connection.must("clearing the job away", script("job_leave"), *arguments)

    def close(self) -> None:
        """Call its guard off."""
        if self._guard is not None:
            self._guard.stand_down()

    @property
    def _where(self) -> str:
        return str(self._connection.host)

    def _ask(self, known: int, word: str) -> _Status:
        """How it stands, and what its log has beyond the bytes that are known; waits until one of them is news."""
        arguments = (self._folder, self._task.name, self._client, str(known), word, str(_WINDOW))
        done = self._connection.must("asking for the job", script("job_poll"), *arguments)
        first, _, log = done.stdout.partition(b"\n")
        word, _, detail = first.decode(errors="replace").partition(" ")
        return _Status(word, detail.strip(), log)

    def _lost(self, status: _Status) -> EdgetoolError:
        if (status.word, status.detail) == ("ended", "abandoned"):
            return connection_lost(self._where, stderr=f"nobody had asked for the job for {PATIENCE} s")
        if status.word == "vanished" and status.detail.isdigit() and int(status.detail) < _FULL:
            return device_disk_full(self._where, doing="the job")
        return HostError(
            "job-vanished",
            "the job is gone from the device without a result",
            where=self._where,
            hint="the device was restarted, or lacked memory and ended it: look at its system log, then run again",
        )


@contextmanager
def running(connection: Connection, folder: str, task: Task, *, note: Callable[[str], None]) -> Iterator[Job]:
    """Start a task, or join it, and cancel it when the block ends by an error.

    Args:
        connection: to the device.
        folder: edgetool's there.
        task: what to run.
        note: told when it waits or was joined.

    Raises:
        HostError: `device-disk-full`; as `Connection.must`.
        DeviceError: as `Connection.must`.
    """
    job = Job(connection, folder, task, note=note)
    try:
        job.start()
        yield job
    except BaseException as error:
        _give_up(job, error)
        raise
    finally:
        job.close()


def _give_up(job: Job, cause: BaseException) -> None:
    """Cancel because of an error, which is the one to be told of whatever happens now."""
    try:
        job.cancel()
    except EdgetoolError as error:
        cause.add_note(f"cancelling the job on the device failed, too: {error}")
