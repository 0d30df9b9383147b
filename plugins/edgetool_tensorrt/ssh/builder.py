"""Builds an engine on the device that will run it."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from edgetool.artifact import Engine, JsonValue, Model
from edgetool.backends import BuildContext, Site
from edgetool.errors import DeviceError
from edgetool.graph import files
from edgetool_tensorrt.device import Device
from edgetool_tensorrt.layers import LAYERS
from edgetool_tensorrt.network import Network, build_settings, prepare
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.plan_file import PlanHeader, read_header, require_whole
from edgetool_tensorrt.ssh.compare import require_room
from edgetool_tensorrt.ssh.failure import require_success
from edgetool_tensorrt.ssh.job import Task, running
from edgetool_tensorrt.ssh.session import Session, opened
from edgetool_tensorrt.ssh.store import Parcel, parcel_of, upload
from edgetool_tensorrt.trtexec import Arguments, build_arguments, progress_of

ENGINE = "engine.plan"

_MODEL, _CALIBRATION, _TIMING = "model.onnx", "calib.cache", "timing.cache"
_TO_STORE = "../.."  # from a job's folder


def build(
    model: Model,
    directory: Path,
    options: TensorRtOptions,
    site: Site,
    context: BuildContext,
    device: Device | None = None,
) -> Engine:
    """Build an engine on the target's device, and fetch it.

    Args:
        model: typed ONNX.
        directory: exists and is empty; gets `engine.plan` and `layers.json`.
        options: of the backend.
        site: names the host, and says what the device is.
        context: told how far it is.
        device: as a probe found it a moment ago; asked for if None.

    Raises:
        DeviceError: the device cannot be reached, is not as described, or built something else than it should.
        ModelError: `unsafe-tensor-name`, `wrong-profile`; what TensorRT refuses, with its nodes.
        HostError: `connection-lost`, `device-disk-full`, `device-out-of-memory`, `damaged-transfer`.
    """
    with opened(options, site, note=context.note, device=device) as session, TemporaryDirectory() as scratch:
        network = prepare(model, Path(scratch), options, session.version)
        return build_on(session, network, directory, context)


def build_on(session: Session, network: Network, directory: Path, context: BuildContext) -> Engine:
    """As `build`, on a device that is connected, of a network that is ready for its trtexec."""
    options = session.options
    parcel = parcel_of(_parts(network))
    if scarce := require_room(session.device, needed=parcel.size, where=session.where):
        context.note(scarce)
    arguments = _arguments(session, network, parcel)
    upload(
        session.connection,
        options.device_folder,
        parcel,
        sent=lambda size: context.progress(size >> 10, parcel.size >> 10, f"KiB sent to {session.name}"),
    )
    task = _task(session, parcel, arguments)
    began = time.monotonic()
    with running(session.connection, options.device_folder, task, note=context.note) as job:
        outcome = job.follow(_listener(context, session.name))
        require_success(outcome, model=str(network.source.path), host=session.where)
        seconds = time.monotonic() - began
        with TemporaryDirectory(dir=directory) as aside:
            found = job.fetch((ENGINE, LAYERS), Path(aside))
            header = _checked(found.get(ENGINE), session)
            for path in found.values():
                path.replace(directory / path.name)
        job.leave(keep=parcel_of({ENGINE: directory / ENGINE}))
    return Engine(
        backend="tensorrt",
        directory=directory,
        entry=ENGINE,
        precision=network.precision,
        signature=network.source.signature,
        lowerings=network.lowerings,
        facts=_facts(session, arguments, header, seconds=seconds),
    )


def _parts(network: Network) -> dict[str, Path]:
    """Everything that trtexec reads, under the names that the files know each other by."""
    main, *beside = files(network.path)
    found = {_MODEL: main} | {str(path.relative_to(main.parent)): path for path in beside}
    if network.calibration is not None:
        found[_CALIBRATION] = network.calibration
    return found


def _arguments(session: Session, network: Network, parcel: Parcel) -> Arguments:
    store = f"{_TO_STORE}/{parcel.place}"
    settings = build_settings(
        network,
        session.options,
        onnx=f"{store}/{_MODEL}",
        engine=ENGINE,
        calibration=f"{store}/{_CALIBRATION}",
        timing_cache=_TIMING,
        layer_info=LAYERS,
    )
    return build_arguments(session.version, settings, offered=session.offered())


def _task(session: Session, parcel: Parcel, arguments: Arguments) -> Task:
    """The build as a job, whose name says what it makes: who asks for the same shares it."""
    command = (session.trtexec, *arguments.argv)
    identity = json.dumps([parcel.digest, command, dict(session.device.facts())], sort_keys=True)
    return Task(
        name=f"build-{hashlib.sha256(identity.encode()).hexdigest()[:32]}",
        command=("nice", *command) if "nice" in session.device.programs else command,
        lock=session.trtexec,
        timing=session.timing_cache if session.options.timing_cache else None,
    )


def _listener(context: BuildContext, name: str) -> Callable[[Sequence[str]], None]:
    """Passes trtexec's log on to this process's own, and shows that the build is alive."""
    began, doing = time.monotonic(), "building"

    def hear(lines: Sequence[str]) -> None:
        nonlocal doing
        for line in lines:
            sys.stderr.write(f"{line}\n")  # of the child process that builds: it ends in the step's log
            doing = progress_of(line) or doing
        context.progress(round(time.monotonic() - began), 0, f"s on {name}: {doing}")

    return hear


def _checked(engine: Path | None, session: Session) -> PlanHeader:
    """The header of what came back. Raises DeviceError, or what `read_header` and `require_whole` raise."""
    if engine is None:
        raise _unexpected("trtexec passed and left no engine", session)
    header = read_header(engine)
    require_whole(header, engine)
    if header.prefix is not None:
        raise _unexpected("the engine starts with foreign metadata, which TensorRT does not read", session)
    if header.product == "tensorrt-rtx":
        if session.options.stand_in is None:
            raise _unexpected("the engine is one of TensorRT-RTX, which no board runs", session)
        return header
    built, told = header.version, session.version
    if built is not None and ((built.major, built.minor, built.patch) != (told.major, told.minor, told.patch)):
        raise _unexpected(f"the engine was built by TensorRT {built}, and trtexec said {told}", session)
    return header


def _unexpected(what: str, session: Session) -> DeviceError:
    return DeviceError(
        "unexpected-engine",
        what,
        where=session.where,
        hint="name the trtexec that belongs to the TensorRT of the device: trtexec in [targets.NAME.tensorrt]",
    )


def _facts(session: Session, arguments: Arguments, header: PlanHeader, *, seconds: float) -> dict[str, JsonValue]:
    device = session.device
    facts: dict[str, JsonValue] = {
        "kind": "plan",
        "runtime": "tensorrt",
        "runtime_version": str(session.version),
        "header_version": str(header.version) if header.version else None,
        "device": dict(device.facts()),
        "device_model": device.model,
        "power_mode": device.power_mode,
        "arguments": list(arguments.argv),
        "dropped": list(arguments.dropped),
        "seconds": round(seconds, 1),
    }
    if session.options.dla_core is not None:
        facts["dla_core"] = session.options.dla_core
    if session.options.stand_in is not None:
        facts["stand_in"] = session.options.stand_in
    return facts
