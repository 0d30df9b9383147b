"""What a child process can be asked to do, and which module does it. Requests and results are JSON."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from edgetool.engine.desk import Handler

MODULES = {
    "edgetool.engine.desk": (
        "engine-open",
        "engine-infer",
        "engine-time",
        "engine-conditions",
        "engine-memory",
        "engine-evidence",
    ),
    "edgetool.engine.conversion": ("import", "dataset", "pass", "supports", "build"),
    "edgetool.engine.trial": ("validate", "golden", "measure", "self-test", "bench"),
    "edgetool.emulate.feeds": ("emulation-feeds",),
    "edgetool.emulate.trial": ("emulate",),
    "edgetool.emulate.cross": ("cross-test",),
    "edgetool.reduce.seams": ("seams",),
    "edgetool.blame.task": ("blame",),
    "edgetool.conformance.trial": ("conformance",),
    "edgetool.search.task": ("expect", "layers", "operators", "try"),
}
"""Each has its handlers in `TASKS`. By name, so that a child loads no more than what it is asked for."""


def handler_of(task: str) -> Handler:
    """What does a task."""
    (module,) = (name for name, tasks in MODULES.items() if task in tasks)
    tasks: Mapping[str, Handler] = importlib.import_module(module).TASKS
    return tasks[task]
