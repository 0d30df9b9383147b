"""Runs an engine with the installed TensorRT, on the GPU or the DLA of this machine. Unverified on hardware."""

from __future__ import annotations

from edgetool.artifact import Engine, Facts
from edgetool.context import BuildContext
from edgetool.errors import DeviceError
from edgetool_tensorrt.cuda import Gpu
from edgetool_tensorrt.gpu_runner import GpuRunner
from edgetool_tensorrt.listeners import Stop, make_log
from edgetool_tensorrt.local.here import this_machine
from edgetool_tensorrt.local.toolkit import load_toolkit
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.plan_file import read_header, require_whole
from edgetool_tensorrt.version import Version


class LocalRunner(GpuRunner):
    """An engine of TensorRT, with what its times depend on."""

    def conditions(self) -> Facts:
        device = this_machine(TensorRtOptions())
        return {
            "power_mode": device.power_mode,
            "temperature": device.temperature,
            "clocks_hz": dict(device.clocks),
        }


def open_engine(engine: Engine, options: TensorRtOptions, context: BuildContext) -> LocalRunner:
    """Load an engine on this machine.

    Raises:
        DeviceError: `no-gpu`; `engine-of-another-version`: TensorRT of another version is installed here.
        IntegrityError: `truncated-engine`, `engine-incomplete`.
        ModelError: `not-an-engine`, `engine-refused`.
        UnavailableError: `tensorrt-missing`, `cuda-python-missing`.
    """
    header = read_header(engine.path)
    require_whole(header, engine.path)
    trt = load_toolkit()
    here = Version.parse(str(trt.__version__))
    if header.version is not None and _numbers(header.version) != _numbers(here):
        raise DeviceError(
            "engine-of-another-version",
            f"the engine was built by TensorRT {header.version}, and {here} is installed here",
            where=str(engine.path),
            hint="build it again with the TensorRT that is to run it",
        )
    log = make_log(trt, Stop())
    return LocalRunner(trt, log, engine.path, engine.signature, gpu=Gpu(), dla_core=options.dla_core)


def _numbers(version: Version) -> tuple[int, int, int]:
    """Without the fourth number, which the Python package does not always say."""
    return version.major, version.minor, version.patch
