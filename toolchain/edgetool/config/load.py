"""Loads targets.toml: read, include, override, check, resolve; all mistakes are reported at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgetool.config.check import check_model, check_schema, unused_dims
from edgetool.config.mistakes import Mistake, error_from, in_reading_order
from edgetool.config.overrides import apply_overrides
from edgetool.config.read import read_tree, relative_label
from edgetool.config.resolve import check_names, follow, resolve, warnings
from edgetool.config.result import Config


@dataclass(frozen=True, slots=True)
class Inspection:
    """A file read as far as it goes: the config, or the mistakes that forbid one."""

    config: Config | None
    mistakes: tuple[Mistake, ...]


def load(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    known_backends: Collection[str] = (),
    known_importers: Collection[str] = (),
) -> Config:
    """The checked configuration.

    Args:
        path: the targets file.
        overrides: `key=value` texts, as `--set` takes them.
        known_backends: names of the backends that plugins offer; a target's table may be named like one of them,
            or like any backend that the file itself names.
        known_importers: the same for tables of `[model]`.

    Raises:
        ConfigError: the file cannot be read, or has mistakes: one keeps its own code, several come as
            `invalid-targets-file` with a line each.
    """
    inspection = inspect(path, overrides=overrides, known_backends=known_backends, known_importers=known_importers)
    if inspection.config is None:
        raise error_from(inspection.mistakes, file=relative_label(path))
    return inspection.config


def inspect(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    known_backends: Collection[str] = (),
    known_importers: Collection[str] = (),
) -> Inspection:
    """As `load`, with the mistakes as data. Raises ConfigError where the file cannot be read at all."""
    tree, mistakes = read_tree(path)
    tree = apply_overrides(tree, overrides)
    file, broken = check_schema(tree)
    chains, unfollowed = follow(tree)
    mistakes += [
        *broken,
        *unfollowed,
        *check_names(tree, chains, known_backends),
        *check_model(tree, known_importers),
    ]
    if mistakes or file is None:
        return Inspection(None, in_reading_order(mistakes))
    recipes = {name: tuple(recipe.passes) for name, recipe in file.recipes.items()}
    resolved = {name: resolve(chain, recipes) for name, chain in chains.items()}
    config = Config(
        path=path,
        root=path.absolute().parent,
        model=file.model,
        data=file.data,
        recipes=recipes,
        targets={name: target for name, target in resolved.items() if target},
        bases=tuple(name for name, target in resolved.items() if target is None),
        warnings=in_reading_order([*unused_dims(file, tree), *warnings(chains)]),
        written=tree,
    )
    return Inspection(config, ())
