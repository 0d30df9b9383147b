"""The command lines that the script runs, made where the table of trtexec's options is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from edgetool.errors import DeviceError
from edgetool_tensorrt.trtexec import Arguments, BuildSettings, RunSettings, build_arguments, run_arguments, taken
from edgetool_tensorrt.version import Version

MODEL, CALIBRATION = "@MODEL@", "@CALIBRATION@"
"""Stand in the arguments for files of the bundle; everything else lies where trtexec works."""

ENGINE, TIMING_CACHE, OUTPUTS, TIMES = "engine.plan", "timing.cache", "outputs.json", "times.json"

_MEASURED_SECONDS = 1.0
_MEASURED_RUNS = 10


def build_lines(version: Version, settings: BuildSettings) -> str:
    """`kit/build-arguments`. Raises ModelError as `build_arguments`."""
    return _lines(version, partial(build_arguments, version, settings))


def run_lines(version: Version, inputs: tuple[str, ...], *, dla_core: int | None) -> str:
    """`kit/run-arguments`: one inference with the golden inputs. The script adds the shapes of those that vary.

    Args:
        version: of trtexec.
        inputs: names, in the order of the files that the script feeds.
        dla_core: accelerator that the engine is built for.
    """
    settings = RunSettings(
        engine=ENGINE, inputs=_files(inputs), outputs=OUTPUTS, seconds=0, iterations=1, dla_core=dla_core
    )
    return _lines(version, partial(run_arguments, version, settings))


def measure_lines(version: Version, inputs: tuple[str, ...], *, dla_core: int | None) -> str:
    """`kit/measure-arguments`: inferences to be timed, with the settings that do not depend on the version."""
    settings = RunSettings(
        engine=ENGINE,
        inputs=_files(inputs),
        times=TIMES,
        seconds=_MEASURED_SECONDS,
        iterations=_MEASURED_RUNS,
        dla_core=dla_core,
    )
    return _lines(version, partial(run_arguments, version, settings))


def _files(inputs: tuple[str, ...]) -> dict[str, str]:
    return {name: f"input{position}.bin" for position, name in enumerate(inputs)}


def _lines(version: Version, render: Callable[..., Arguments]) -> str:
    """Each argument with how much depends on it: `need` or `want`. The script holds them against its trtexec's help."""
    argv, known = render().argv, taken(version)
    return "".join(f"{_demand(render, known, argument, of=len(argv))} {argument}\n" for argument in argv)


def _demand(render: Callable[..., Arguments], known: frozenset[str], argument: str, *, of: int) -> str:
    """What is made of the command line, of so many arguments, for a trtexec that lacks this one."""
    name = argument.partition("=")[0].removeprefix("--")
    try:
        without = render(offered=known - {name})
    except DeviceError:
        return "need"
    return "want" if len(without.argv) < of else "need"  # as long as before: another option would take its place
