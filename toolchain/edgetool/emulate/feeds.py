"""What an engine is fed on another processor: the golden inputs, and a few of the user's evaluation samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgetool.engine.desk import Handler, Result, Talk, handler
from edgetool.engine.requests import DataRequest, EngineFile
from edgetool.engine.samples import open_data
from edgetool.engine.trial import open_engine


@dataclass(frozen=True, slots=True)
class Samples:
    """Where evaluation samples come from, and the values of inputs that the engine no longer has."""

    request: DataRequest
    fixed_inputs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FeedsTask:
    """Run the engine here on the samples, and write them behind the golden cases into `directory`."""

    engine: EngineFile
    golden: Path
    samples: Samples
    directory: Path
    log: Path
    seconds: float


def run_feeds(task: FeedsTask, talk: Talk) -> Result:
    from edgetool.bundle.golden import GoldenCase, read_golden, read_min_cosine, write_cases

    samples = task.samples
    data = open_data(samples.request, task.engine.signature, talk.desk, fixed=samples.fixed_inputs)
    golden = read_golden(task.golden)
    with open_engine(task.engine, task.log, task.seconds) as engine:
        here = [GoldenCase(feeds, engine.infer(feeds)) for feeds in data]
    write_cases(task.directory, [*golden, *here], min_cosine=read_min_cosine(task.golden))
    return {
        "golden": len(golden),
        "samples": len(here),
        "files": [str(path) for path in (*data.read_files, *data.read_folders)],
    }


TASKS: Mapping[str, Handler] = {
    "emulation-feeds": handler(FeedsTask, run_feeds),
}
