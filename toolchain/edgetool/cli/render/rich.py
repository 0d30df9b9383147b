"""A live display for terminals: one bar a target, with elapsed time and an estimate where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from edgetool.cli.render.plain import label, line
from edgetool.engine.events import (
    BuildFailed,
    BuildFinished,
    BuildStarted,
    CandidateStarted,
    Event,
    Listener,
    StepFinished,
    StepNote,
    StepProgress,
    StepStarted,
    Warned,
)


@contextmanager
def live(*, name_models: bool) -> Iterator[Listener]:
    """A listener that draws on stderr while the block runs."""
    console = Console(stderr=True, highlight=False)
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.fields[target]}"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    bars: dict[str, TaskID] = {}

    def listen(event: Event) -> None:
        name = label(event, name_models=name_models)
        match event:
            case BuildStarted():
                bars[name] = progress.add_task("planning", target=name, count="", total=None)
            case StepStarted(step=step) if name in bars:
                progress.reset(bars[name], description=step, target=name, count="", total=None)
            case StepProgress(done=done, total=total, what=what) if name in bars:
                count = f"{done}/{total} {what}" if total else f"{done} {what}"
                progress.update(bars[name], completed=done, total=total or None, count=count)
            case CandidateStarted() | StepFinished() | StepNote():
                progress.console.print(Text(line(event, name_models=name_models) or "", style="dim"))
            case Warned():
                progress.console.print(Text(line(event, name_models=name_models) or "", style="yellow"))
            case BuildFailed() | BuildFinished() if name in bars:
                progress.remove_task(bars.pop(name))

    with progress:
        yield listen
