"""A live display for terminals: one bar a target, with elapsed time and an estimate where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from edgetool.cli.render.plain import line
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
def live() -> Iterator[Listener]:
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
        match event:
            case BuildStarted(target, _):
                bars[target] = progress.add_task("planning", target=target, count="", total=None)
            case StepStarted(target, step) if target in bars:
                progress.reset(bars[target], description=step, target=target, count="", total=None)
            case StepProgress(target, _, done, total, what) if target in bars:
                count = f"{done}/{total} {what}" if total else f"{done} {what}"
                progress.update(bars[target], completed=done, total=total or None, count=count)
            case CandidateStarted() | StepFinished() | StepNote():
                progress.console.print(Text(line(event) or "", style="dim"))
            case Warned():
                progress.console.print(Text(line(event) or "", style="yellow"))
            case BuildFailed(target=target) | BuildFinished(target=target) if target in bars:
                progress.remove_task(bars.pop(target))

    with progress:
        yield listen
