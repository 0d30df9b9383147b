"""Runs an engine on the device that it was built on, through trtexec: real inputs in, outputs and times out."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from edgetool.artifact import Engine, Facts, Model
from edgetool.backends import BuildContext, Runner, Site
from edgetool.backends.feeds import checked_feeds
from edgetool.errors import DeviceError
from edgetool_tensorrt import trtexec
from edgetool_tensorrt.network import Network, prepare
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.ssh.builder import ENGINE, build_on
from edgetool_tensorrt.ssh.conditions import conditions_now
from edgetool_tensorrt.ssh.failure import require_success
from edgetool_tensorrt.ssh.job import Task, running
from edgetool_tensorrt.ssh.session import Session, opened
from edgetool_tensorrt.ssh.store import parcel_of, upload

if TYPE_CHECKING:
    import numpy as np

    from edgetool.backends import Feeds

_OUTPUTS, _TIMES = "outputs.json", "times.json"
_MEASURED = 1.0  # seconds at least, whatever the number of runs
_DECIDING = ("arch", "sm", "soc", "gpu", "tensorrt")


def open_on_device(engine: Engine, options: TensorRtOptions, site: Site, context: BuildContext) -> SshRunner:
    """Open an engine on the target's device; a kit is built there first.

    Args:
        engine: whose facts say what it is: `plan`, built by such a device, or `kit`.
        options: of the backend.
        site: names the host, and says what the device is.
        context: told how far it is.

    Raises:
        DeviceError: as `builder.build`; `engine-of-another-gpu` or `engine-of-another-version`.
        HostError, ModelError: as `builder.build`.
    """
    with ExitStack() as stack:
        session = stack.enter_context(opened(options, site, note=context.note))
        if engine.facts.get("kind") == "kit":
            folder = Path(stack.enter_context(TemporaryDirectory()))
            engine = _built_from_kit(engine, session, folder, context)
        else:
            _require_same_device(engine, session)
        upload(session.connection, options.device_folder, parcel_of({ENGINE: engine.path}))
        return SshRunner(engine, session, offered=session.offered(), held=stack.pop_all())


class SshRunner(Runner):
    """An engine on a device. Each inference is a run of trtexec, in turn with all other work there.

    Args:
        engine: a plan, which the device's store holds.
        session: with the device.
        offered: options of its trtexec.
        held: closed with the runner: the connection, and files here.
    """

    def __init__(self, engine: Engine, session: Session, *, offered: frozenset[str] | None, held: ExitStack) -> None:
        self.signature = engine.signature
        self.elsewhere = session.name
        self._session = session
        self._offered = offered
        self._held = held
        self._where = str(engine.path)
        self._plan = f"../../{parcel_of({ENGINE: engine.path}).place}/{ENGINE}"
        self._measuring: Facts = {}
        self._before = conditions_now(session.connection)

    def infer(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        """Outputs have six significant digits: trtexec writes them as text.

        Raises:
            ConfigError: `wrong-feeds`.
            BudgetError: `unreadable-outputs`.
            DeviceError: as `Connection.run`.
            EdgetoolError: what trtexec failed for.
        """
        text = self._run(feeds, _OUTPUTS, runs=1)
        return trtexec.read_outputs(text, self.signature)

    def time(self, feeds: Feeds, runs: int) -> list[float]:
        """GPU time of each inference, `runs` at least: trtexec measures for a second in any case."""
        return trtexec.read_times(self._run(feeds, _TIMES, runs=runs))

    def conditions(self) -> Facts:
        """Power mode, clocks and temperature when the engine was opened and now; how trtexec measured."""
        now = conditions_now(self._session.connection)
        return {"before": self._before.to_json(), "after": now.to_json(), **self._measuring}

    def close(self) -> None:
        self._held.close()

    def _run(self, feeds: Feeds, wanted: str, *, runs: int) -> str:
        """Run trtexec on the device; the text of the file that it wrote."""
        session = self._session
        arrays = checked_feeds(self.signature, feeds, where=self._where)
        names = {name: f"input-{index}.bin" for index, name in enumerate(arrays)}
        settings = trtexec.RunSettings(
            engine=self._plan,
            shapes={
                spec.name: arrays[spec.name].shape
                for spec in self.signature.inputs
                if not all(isinstance(dim, int) for dim in spec.shape)
            },
            inputs=names,
            outputs=wanted if wanted == _OUTPUTS else None,
            times=wanted if wanted == _TIMES else None,
            seconds=0 if wanted == _OUTPUTS else _MEASURED,
            iterations=runs,
            dla_core=session.options.dla_core,
        )
        arguments = trtexec.run_arguments(session.version, settings, offered=self._offered)
        if wanted == _TIMES:
            self._measuring = trtexec.measurement_facts(
                session.version, arguments, dla=session.options.dla_core is not None
            )
        with TemporaryDirectory() as scratch:
            folder = Path(scratch)
            for name, array in arrays.items():
                (folder / names[name]).write_bytes(trtexec.input_bytes(session.version, array))
            task = Task(
                name=f"run-{secrets.token_hex(8)}",
                command=(session.trtexec, *arguments.argv),
                lock=session.trtexec,
                files={file: folder / file for file in names.values()},
            )
            with running(session.connection, session.options.device_folder, task, note=session.note) as job:
                outcome = job.follow(lambda lines: None)
                require_success(outcome, model=self._where, host=session.where)
                found = job.fetch((wanted,), folder).get(wanted)
                job.leave()
            return found.read_text(errors="replace") if found else ""


def _built_from_kit(kit: Engine, session: Session, folder: Path, context: BuildContext) -> Engine:
    """The engine that the kit's own script would build there."""
    calibration = kit.directory / "calib.cache"
    model = Model(kit.path, kit.signature)
    if calibration.is_file():
        network = Network(model, kit.path, calibration, kit.lowerings, kit.precision, half=True)
    else:
        network = prepare(model, folder, session.options, session.version)
    return build_on(session, network, folder, context)


def _require_same_device(engine: Engine, session: Session) -> None:
    """An engine fits the TensorRT and the GPU that it was built with, and no other."""
    built = engine.facts.get("device")
    if not isinstance(built, dict):
        return
    here = session.device.facts()
    if not (different := [name for name in _DECIDING if name in built and built[name] != here.get(name)]):
        return
    said = ", ".join(f"{name} {built[name]} (here {here.get(name, 'unknown')})" for name in different)
    raise DeviceError(
        "engine-of-another-version" if different == ["tensorrt"] else "engine-of-another-gpu",
        f"the engine was built on another device: {said}",
        where=session.where,
        hint="build it again for this device",
    )
