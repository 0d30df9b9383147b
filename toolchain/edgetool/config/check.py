"""Checks one merged file against the schema, and the few rules that a schema cannot say."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from datetime import date, datetime, time

import pydantic

from edgetool.config.mistakes import Mistake
from edgetool.config.positions import KeyPath
from edgetool.config.schema import ModelTable, TargetsFile
from edgetool.config.tree import Tree
from edgetool.nearest import did_you_mean, one_of


def check_schema(tree: Tree) -> tuple[TargetsFile | None, list[Mistake]]:
    """The parsed file, or everything that keeps it from being parsed."""
    unfit = {mistake.path: mistake for mistake in _unfit_for_json(tree)}
    try:
        return TargetsFile.model_validate(tree.values), list(unfit.values())
    except pydantic.ValidationError as error:
        from edgetool.config.translate import mistakes_from  # most files hold no mistakes

        found = {mistake.path: mistake for mistake in mistakes_from(error, tree, TargetsFile)}
        return None, list({**unfit, **found}.values())


def check_model(tree: Tree, known_importers: Collection[str]) -> Iterator[Mistake]:
    """`[model]` holds, beside its own keys, only tables named like an importer."""
    model = tree.below(("model",)).values
    importers = {*known_importers, model.get("importer")} - {None}
    for key, value in model.items():
        if key in ModelTable.model_fields:
            continue
        path: KeyPath = ("model", key)
        if key not in importers:
            hint = did_you_mean(key, {*ModelTable.model_fields, *map(str, importers)})
            yield Mistake("unknown-key", tree.origin(path), path, "unknown key", hint)
        elif not isinstance(value, dict):
            yield Mistake("invalid-value", tree.origin(path), path, "wants a table of the importer's options")


def unused_dims(file: TargetsFile, tree: Tree) -> Iterator[Mistake]:
    """A range that no declared input has; without declared inputs the source knows."""
    if file.model is None or not file.model.inputs:
        return
    used = {dim for table in file.model.inputs.values() for dim in table.shape if isinstance(dim, str)}
    for name in sorted(file.model.dims.keys() - used):
        path: KeyPath = ("model", "dims", name)
        hint = one_of(name, used, what="dimensions")
        yield Mistake("unused-dimension", tree.origin(path), path, "no input has it", hint, of_table=True)


def _unfit_for_json(tree: Tree) -> Iterator[Mistake]:
    """Plugins' tables are passed on as JSON, which knows neither dates nor nan: refuse both everywhere."""
    for path, origin in tree.origins.items():
        value = tree.value(path)
        if isinstance(value, (date, datetime, time)):
            yield Mistake("invalid-value", origin, path, f"wants no date, got {value}", "write it in quotes")
        elif isinstance(value, float) and not math.isfinite(value):
            yield Mistake("invalid-value", origin, path, f"wants a finite number, got {value}")
