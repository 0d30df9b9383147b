"""What most commands begin with: the targets file, the plugins, the cache, and an end to all children on Ctrl-C."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from edgetool.cli.options import DEFAULT_FILE
from edgetool.cli.output import Output
from edgetool.errors import ConfigError, InterruptedByUserError

if TYPE_CHECKING:
    from edgetool.config.result import Config
    from edgetool.engine.services import Services
    from edgetool.plugin.manager import Plugins


@dataclass(frozen=True)
class Project:
    """The targets file and the plugins that it can use."""

    config: Config
    plugins: Plugins


def open_project(file: Path | None, *, overrides: Sequence[str] = (), source: str | None = None) -> Project:
    """Load plugins and the targets file; a SOURCE of the command line replaces the file's own.

    Raises:
        ConfigError: there is no such file, or it has mistakes.
    """
    from edgetool.config.load import load
    from edgetool.engine.source import for_command_line
    from edgetool.plugin.manager import load_plugins

    path = file or DEFAULT_FILE
    if not path.is_file():
        raise ConfigError(
            "targets-file-not-found",
            f"no such file in {Path.cwd()}" if path == DEFAULT_FILE else "no such file",
            where=str(path),
            hint="write one with: edgetool init MODEL, or name one with --file",
        )
    plugins = load_plugins()
    config = load(path, overrides=overrides, known_backends=plugins.backends, known_importers=plugins.importers)
    return Project(for_command_line(config, source, overrides), plugins)


def open_source(file: Path | None, source: str | None, *, overrides: Sequence[str] = ()) -> Project:
    """As `open_project`, for commands that can do without a targets file when a SOURCE is named."""
    from edgetool.engine.source import empty_config
    from edgetool.plugin.manager import load_plugins

    if source is not None and file is None and not DEFAULT_FILE.is_file():
        return Project(empty_config(), load_plugins())
    return open_project(file, overrides=overrides, source=source)


@contextmanager
def services(
    output: Output, plugins: Plugins, *, use_cache: bool = True, name_models: bool = False
) -> Iterator[Services]:
    """Cache, children and listener for a command; all children end with the block, and on Ctrl-C or SIGTERM.

    Args:
        output: how the command speaks.
        plugins: all that are installed.
        use_cache: without, everything is done anew in a cache that is thrown away.
        name_models: a command works on several models, and its lines say of which they are.
    """
    from edgetool.cli.render import listener
    from edgetool.engine.cache import Cache, default_root
    from edgetool.engine.isolate import Children
    from edgetool.engine.services import Services

    with ExitStack() as stack:
        root = default_root() if use_cache else _private_root(stack)
        children = Children()
        stack.callback(children.interrupt)
        stack.enter_context(interruptible())
        listen = stack.enter_context(listener(output, name_models=name_models))
        yield Services(cache=Cache(root), children=children, listener=listen, plugins=plugins)


def _private_root(stack: ExitStack) -> Path:
    """A cache of this command's own, gone with it."""
    from edgetool.engine.cache import default_root

    shared = default_root()
    parent = shared if shared.is_dir() else None
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgetool-", dir=parent)))


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C, and SIGTERM as CI systems send it, end the block with what it began cleared away.

    Raises:
        InterruptedByUserError: one of them came.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedByUserError("interrupted-by-user", "interrupted; nothing half-written was kept") from error
    finally:
        signal.signal(signal.SIGTERM, before)
