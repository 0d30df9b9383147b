"""trtexec, TensorRT's program that builds and runs engines: what to ask it in each version, and what it answers."""

from edgetool_tensorrt.profiles import Profile
from edgetool_tensorrt.trtexec.arguments import build_arguments, measurement_facts, run_arguments
from edgetool_tensorrt.trtexec.names import require_safe, safe_name
from edgetool_tensorrt.trtexec.options import listed, offered, releases, taken
from edgetool_tensorrt.trtexec.settings import Arguments, BuildSettings, RunSettings

__all__ = [
    "Arguments",
    "BuildSettings",
    "Profile",
    "RunSettings",
    "build_arguments",
    "listed",
    "measurement_facts",
    "offered",
    "releases",
    "require_safe",
    "run_arguments",
    "safe_name",
    "taken",
]
