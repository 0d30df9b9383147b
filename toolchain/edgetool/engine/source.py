"""What the user named as the source: a file or a factory, checked before anything is started."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from edgetool.config.result import Config
from edgetool.config.schema import DataTable
from edgetool.errors import ConfigError
from edgetool.importers.base import Source
from edgetool.nearest import did_you_mean

_FACTORY = re.compile(r"(?P<module>[A-Za-z_][\w./-]*?)(?:\.py)?:(?P<function>[A-Za-z_]\w*)")


def for_command_line(config: Config, source: str | None, overrides: Collection[str]) -> Config:
    """The config that a SOURCE on the command line leaves: `[model]` and `[data]` belong to the file's own source.

    A table that `--set` touches is kept, so that `--set data.calibration=...` works with any source.
    """
    if source is None or (config.model and config.model.source == source):
        return config
    touched = {text.partition(".")[0] for text in overrides}
    return replace(
        config,
        model=config.model if "model" in touched else None,
        data=config.data if "data" in touched else DataTable(),
    )


def empty_config() -> Config:
    """For commands that work on a source alone, where there is no targets file."""
    return Config(path=Path("targets.toml"), root=Path.cwd(), model=None, data=DataTable(), recipes={}, targets={})


def resolve_source(config: Config, text: str | None, *, trusted: bool) -> Source:
    """The source of the command line (relative to the working directory) or of `[model]` (relative to its file).

    Raises:
        ConfigError: no source, or no such file; a missing path is never taken for a name on a hub.
    """
    root = config.root
    model = config.model
    if text is None and (model is None or model.source is None):
        raise ConfigError(
            "no-source",
            "nothing to build: no source was named",
            where=f"{config.path} [model]",
            hint="edgetool build SOURCE --target NAME, or set `source` in [model]",
        )
    base = Path.cwd() if text is not None else root
    named = text if text is not None else (model.source if model else None)
    assert named is not None
    weights = _existing(root, model.weights, key="weights", config=config) if model and model.weights else None
    if match := _FACTORY.fullmatch(named):
        module = match["module"].removesuffix(".py").strip("./").replace("/", ".")
        return Source(
            text=named,
            path=None,
            factory=f"{module}:{match['function']}",
            weights=weights,
            root=base,
            trusted=trusted,
        )
    path = _existing(base, named, key="source", config=config if text is None else None)
    return Source(text=named, path=path, factory=None, weights=weights, root=root, trusted=trusted)


def _existing(base: Path, name: str, *, key: str, config: Config | None) -> Path:
    path = (base / name).expanduser()
    where = f"{config.path} [model] {key}" if config else None
    if path.is_dir():
        raise ConfigError("source-not-a-file", f"{name!r} is a folder", where=where, hint="name the file inside it")
    if not path.is_file():
        raise ConfigError(
            "source-not-found",
            f"there is no file {name!r}",
            where=where,
            hint=f"{_similar(path)}looked in {base}; paths are never looked up on a hub",
        )
    return path.absolute()


def _similar(path: Path) -> str:
    """The name of a file beside it that may be meant."""
    folder = path.parent
    try:
        files = [entry.name for entry in folder.iterdir() if entry.is_file()]
    except OSError:  # no such folder, or a closed one: nothing to propose
        return ""
    meant = did_you_mean(path.name, files)
    return f"{meant} " if meant else ""
