"""What `validate` and `bench` share: open a bundle, and run one task on its engine in a child process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetool.cli.output import Output
from edgetool.errors import ConfigError

if TYPE_CHECKING:
    from edgetool.bundle.read import Bundle
    from edgetool.plugin.manager import Plugins

BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder NAME.edgebundle.")]
TIMEOUT = 600.0
"""Seconds that one request to an engine may take."""


def open_runnable(path: Path) -> tuple[Bundle, Plugins]:
    from edgetool.bundle.read import read_bundle
    from edgetool.plugin.manager import load_plugins

    bundle = read_bundle(path)
    if not (path / "io").is_dir():
        raise ConfigError(
            "no-golden-data",
            "this bundle has no golden inputs: its engine did not run where it was built",
            where=str(path),
            hint="build it on a machine that has the device",
        )
    return bundle, load_plugins()


def run_task(
    task: str,
    make: Callable[[Callable[[str], Path]], object],
    plugins: Plugins,
    output: Output,
    *,
    name: str,
    seconds: float = TIMEOUT,
) -> dict[str, Any]:
    """Run a task in a child, without the cache, for at most so many seconds."""
    from edgetool.cli.project import services
    from edgetool.engine.isolate import Limits
    from edgetool.engine.stepper import Stepper

    with (
        services(output, plugins) as shared,
        Stepper(
            target=name,
            cache=shared.cache,
            children=shared.children,
            listener=shared.listener,
            limits=Limits(seconds),
            python=None,
            root=Path.cwd(),
        ) as stepper,
    ):
        return stepper.call(task, task, make(stepper.log_path))
