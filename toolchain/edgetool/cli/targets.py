"""`edgetool targets`: what targets.toml says, where each value comes from, and whether it is right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetool.cli.options import DEFAULT_FILE, File, Json, Quiet, Set, flag
from edgetool.cli.output import Output
from edgetool.plain_text import counted, table

if TYPE_CHECKING:
    from edgetool.config.result import ResolvedTarget

targets = typer.Typer(help="List, show and check the targets of targets.toml.", no_args_is_help=True)


@targets.command("list")
def list_targets(file: File = None, overrides: Set = None, json: Json = False, quiet: Quiet = False) -> None:
    """List the targets: backend, recipe and hardware of each."""
    from edgetool.cli.project import open_project

    project = open_project(file, overrides=overrides or ())
    found = project.config.targets.values()
    rows = [
        {
            "name": target.name,
            "backend": target.backend,
            "installed": target.backend in project.plugins.backends,
            "recipe": target.recipe,
            "precision": "auto" if target.candidates else None,
            "extends": list(target.extends),
            "stands_in_for": list(target.stands_in_for),
            "description": target.description,
        }
        for target in found
    ]
    cells = [
        (
            target.name,
            target.backend + ("" if target.backend in project.plugins.backends else " (not installed)"),
            target.recipe or ("auto" if target.candidates else "-"),
            target.extends[0] if target.extends else "-",
            target.description or "",
        )
        for target in found
    ]
    text = table(cells, headers=("TARGET", "BACKEND", "RECIPE", "EXTENDS", "WHAT IT IS")) if cells else "no targets"
    Output(json, quiet).result({"file": str(project.config.path), "targets": rows}, text)


@targets.command("boards")
def boards(json: Json = False, quiet: Quiet = False) -> None:
    """List the boards of the catalogue, which targets can extend."""
    from edgetool.config.boards import board_names, find_board

    found = {name: tree.values["description"] for name in board_names() if (tree := find_board(name))}
    Output(json, quiet).result({"boards": found}, table(list(found.items()), headers=("BOARD", "WHAT IT IS")))


@targets.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A target of the targets file.")],
    origin: Annotated[bool, flag("--origin", help="Say of every value where it comes from.")] = False,
    file: File = None,
    overrides: Set = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show all that a target says, as TOML.

    What it extends and `--set` are applied.
    """
    from edgetool.cli.project import open_project

    target = open_project(file, overrides=overrides or ()).config.target(name)
    values = list(_values(target))
    data: dict[str, object] = {"target": target.to_json()}
    if origin:
        data["origins"] = {_dotted(path): str(where) for path, _, where in values}
    Output(json, quiet).result(data, _as_toml(target.name, values, with_origin=origin))


def _values(target: ResolvedTarget) -> Iterator[tuple[tuple[str, ...], object, object]]:
    """Path, value as written, and origin of everything that has a value; defaults come last in their table."""
    from edgetool.config.schema import TargetTable
    from edgetool.config.tree import DEFAULT

    yield from _written(target, target.written.values, ())
    for path, default in _defaults(TargetTable, ()):
        if target.written.value(path) is None:
            yield path, default, DEFAULT


def _written(
    target: ResolvedTarget, values: dict[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], object, object]]:
    for key, value in values.items():
        below = (*path, key)
        if isinstance(value, dict) and value:
            yield from _written(target, value, below)
        else:
            yield below, value, target.origin(*below)


def _defaults(model: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    from edgetool.config.annotations import models_of

    for name, field in model.model_fields.items():
        inner = next(models_of(field.annotation), None)
        default = field.get_default(call_default_factory=True)
        if inner is not None:
            yield from _defaults(inner, (*path, name))
        elif default not in (None, [], {}):
            extra = field.json_schema_extra
            yield (*path, name), extra.get("default", default) if isinstance(extra, dict) else default


def _as_toml(name: str, values: list[tuple[tuple[str, ...], object, object]], *, with_origin: bool) -> str:
    from edgetool.config.write import toml_value

    tables: dict[tuple[str, ...], list[tuple[str, str]]] = {(): []}
    for path, value, where in values:
        line = f"{_dotted(path[-1:])} = {toml_value(value)}"
        tables.setdefault(path[:-1], []).append((line, f"# {where}" if with_origin else ""))
    width = max((len(line) for rows in tables.values() for line, _ in rows), default=0)
    lines = []
    for path, rows in tables.items():
        lines.append(f"[{_dotted(('targets', name, *path))}]")
        lines += [f"{line:<{min(width, 48)}}  {where}".rstrip() for line, where in rows]
    return "\n".join(lines)


def _dotted(path: tuple[str, ...]) -> str:
    from edgetool.config.tree import dotted

    return dotted(path)


@targets.command("validate")
def validate(file: File = None, overrides: Set = None, json: Json = False, quiet: Quiet = False) -> None:
    """Check the whole file and list all mistakes at once.

    The options of installed plugins are checked, too.
    """
    from edgetool.config.load import inspect
    from edgetool.config.mistakes import error_from, in_reading_order
    from edgetool.config.options import check_options
    from edgetool.config.read import relative_label
    from edgetool.plugin.manager import load_plugins

    output = Output(json, quiet)
    path = file or DEFAULT_FILE
    plugins = load_plugins()
    found = inspect(path, overrides=overrides or (), known_backends=plugins.backends, known_importers=plugins.importers)
    config = found.config
    mistakes = found.mistakes if config is None else in_reading_order(check_options(config, plugins))
    if config is None or mistakes:
        if json:
            for mistake in mistakes:
                output.event({"event": "mistake", **mistake.to_json()})
        raise error_from(mistakes, file=relative_label(path))
    counts = f"{counted(len(config.targets), 'target')}, {counted(len(config.recipes), 'recipe')}"
    lines = [*(f"warning: {warning}" for warning in config.warnings), f"{path}: {counts}, no mistakes"]
    output.result(
        {
            "file": str(path),
            "targets": list(config.targets),
            "recipes": list(config.recipes),
            "bases": list(config.bases),
            "warnings": [warning.to_json() for warning in config.warnings],
        },
        "\n".join(lines),
    )


@targets.command("schema")
def schema(json: Json = False, quiet: Quiet = False) -> None:
    """Print the JSON schema of targets.toml, for editors.

    The options of installed plugins are in it.
    """
    import json as json_format

    from edgetool.config.json_schema import json_schema
    from edgetool.plugin.manager import load_plugins

    found = json_schema(load_plugins())
    Output(json, quiet).result({"schema": found}, json_format.dumps(found, indent=2, ensure_ascii=False))
