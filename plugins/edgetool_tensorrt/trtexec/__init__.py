"""trtexec, TensorRT's program that builds and runs engines: what to ask it in each version, and what it answers."""

from edgetool_tensorrt.profiles import Profile
from edgetool_tensorrt.trtexec.arguments import build_arguments, measurement_facts, run_arguments
from edgetool_tensorrt.trtexec.log import Log, read_log
from edgetool_tensorrt.trtexec.names import require_safe, safe_name
from edgetool_tensorrt.trtexec.options import listed, offered, releases, taken
from edgetool_tensorrt.trtexec.outputs import input_bytes, read_outputs
from edgetool_tensorrt.trtexec.progress import progress_of
from edgetool_tensorrt.trtexec.reasons import TrtReason
from edgetool_tensorrt.trtexec.settings import Arguments, BuildSettings, RunSettings
from edgetool_tensorrt.trtexec.times import read_times

__all__ = [
    "Arguments",
    "BuildSettings",
    "Log",
    "Profile",
    "RunSettings",
    "TrtReason",
    "build_arguments",
    "input_bytes",
    "listed",
    "measurement_facts",
    "offered",
    "progress_of",
    "read_log",
    "read_outputs",
    "read_times",
    "releases",
    "require_safe",
    "run_arguments",
    "safe_name",
    "taken",
]
