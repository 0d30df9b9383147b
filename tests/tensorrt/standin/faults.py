"""What a stand-in device can be told to do wrong, in the file `faults.toml` of its folder."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Faults:
    """All of them are off by default.

    Attributes:
        phase: where out_of_memory, killed and die strike: `build` or `run`.
        out_of_memory: TensorRT cannot allocate, and says so.
        killed: by SIGKILL, as the kernel does when memory ends.
        die: by SIGSEGV, in the middle, without a verdict.
        no_implementation: no kernel for a node.
        disk_full: only the beginning of the engine can be written.
        slow: seconds that a build takes longer.
        slow_run: seconds that a run takes longer.
        banner: another version in the banner, `v100700`.
        truncate_engine: half of the engine is written, and trtexec does not notice.
        engine_tag: other first four bytes.
        engine_version: other version in the plan's header, `10.7.0.23`.
        perturb: so much is added to every output.
        nan: outputs are not numbers.
        truncate_outputs: the JSON of the outputs is cut.
        wrong_count: the first output has one value too few.
        drop_output: the first output is missing.
    """

    phase: str = "build"
    out_of_memory: bool = False
    killed: bool = False
    die: bool = False
    no_implementation: bool = False
    disk_full: bool = False
    slow: float = 0.0
    slow_run: float = 0.0
    banner: str = ""
    truncate_engine: bool = False
    engine_tag: str = ""
    engine_version: str = ""
    perturb: float = 0.0
    nan: bool = False
    truncate_outputs: bool = False
    wrong_count: bool = False
    drop_output: bool = False


def read_faults(path: Path) -> Faults:
    """The faults of a device; an unknown name is a mistake of the test."""
    return Faults(**tomllib.loads(path.read_text())) if path.exists() else Faults()
