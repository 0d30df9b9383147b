"""`edgetool init`: writes targets.toml from a model, with questions on a terminal and without them elsewhere."""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetool.cli.options import DEFAULT_FILE, File, Json, Quiet, flag
from edgetool.cli.output import Output
from edgetool.errors import ConfigError
from edgetool.nearest import one_of

if TYPE_CHECKING:
    from edgetool.config.draft import Draft, DraftTarget
    from edgetool.importers.base import Source
    from edgetool.plugin.manager import Plugins
    from edgetool.signature import Signature

_DEFAULT_BOARD = "@generic/cpu"

Model = Annotated[str | None, typer.Argument(metavar="MODEL", help="Model file or module:function; becomes `source`.")]
Wanted = Annotated[
    list[str] | None,
    typer.Option("--target", "-t", metavar="WHAT", help="A backend, @vendor/board, or NAME=@vendor/board; repeatable."),
]
Calibration = Annotated[
    str | None, typer.Option("--calibration", metavar="DATA", help="Folder, .npz or module:function; makes it int8.")
]
Evaluation = Annotated[
    str | None, typer.Option("--evaluation", metavar="DATA", help="Labelled samples to judge by, in the same forms.")
]
Metric = Annotated[
    str | None, typer.Option("--metric", metavar="NAME", help="How samples are judged: top1, ... or module:function.")
]
Force = Annotated[bool, flag("--force", help="Replace an existing file.")]
Yes = Annotated[bool, flag("--yes", "-y", help="Ask nothing, also on a terminal.")]


def init(
    model: Model = None,
    target: Wanted = None,
    file: File = None,
    calibration: Calibration = None,
    evaluation: Evaluation = None,
    metric: Metric = None,
    force: Force = False,
    yes: Yes = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a targets.toml to start from.

    It declares the model's inputs, the hardware, recipes and budgets. Questions are asked on a terminal only.
    """
    from edgetool.config.draft import Draft, render
    from edgetool.plugin.manager import load_plugins

    path = file or DEFAULT_FILE
    plugins = load_plugins()
    if model:
        _source(model, plugins)  # that the name is wrong is of more use than that there is a file to be replaced
    if path.exists() and not force:
        raise ConfigError("targets-file-exists", "is there already", where=str(path), hint="replace it with --force")
    if not yes and not json and sys.stdin.isatty() and sys.stderr.isatty():
        model = model or _ask("Model file or module:function")
        target = target or [_ask("Hardware: a backend or @vendor/board", default=_DEFAULT_BOARD) or _DEFAULT_BOARD]
        calibration = calibration or _ask("Calibration samples (folder, .npz or module:function)")
        evaluation = evaluation or _ask("Labelled samples to judge by")
        metric = metric or (_ask("Metric", default="top1") if evaluation else None)
    source, signature = _read(model, path, plugins) if model else (None, None)
    targets = _targets(target or [_DEFAULT_BOARD], plugins)
    draft = Draft(source, signature, targets, calibration, evaluation, metric)
    _write(path, render(draft), plugins)
    first = next((row.name for row in targets if row.stands_in_for), targets[0].name)
    following = f"edgetool build {'' if source else 'MODEL '}--target {first}"
    if path != DEFAULT_FILE:
        following += f" --file {shlex.quote(str(path))}"
    Output(json, quiet).result(
        {
            "file": str(path),
            "source": source,
            "signature": signature.to_json() if signature else None,
            "targets": [row.name for row in targets],
            "recipe": draft.recipe,
            "next": following,
        },
        f"wrote {path}  {_summary(draft)}   next: {following}",
    )


def _ask(question: str, *, default: str = "") -> str | None:
    """Questions go to stderr: stdout holds the result alone."""
    suffix = f" [{default}]" if default else ""
    print(f"{question}{suffix}: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip() or default or None


def _source(model: str, plugins: Plugins) -> Source:
    """Raises ConfigError: there is no such file, or nothing reads its kind."""
    from edgetool.engine.plan import importer_of
    from edgetool.engine.source import empty_config, resolve_source

    source = resolve_source(empty_config(), model, trusted=False)
    importer_of(source, plugins)
    return source


def _read(model: str, path: Path, plugins: Plugins) -> tuple[str, Signature | None]:
    """The source as the file is to name it, and what can be read of it without a framework."""
    source = _source(model, plugins)
    if source.path is None:
        return str(source.factory), None
    relative = Path(os.path.relpath(source.path, path.absolute().parent)).as_posix()
    if source.path.suffix != ".onnx":
        return relative, None
    from edgetool import graph

    return relative, graph.read_model(source.path).signature


def _targets(wanted: list[str], plugins: Plugins) -> tuple[DraftTarget, ...]:
    """One target each, and a stand-in for CI where a board's engine cannot run here."""
    from edgetool.config import boards
    from edgetool.config.draft import DraftTarget

    targets: list[DraftTarget] = []
    for text in wanted:
        name, _, what = text.rpartition("=")
        if what.startswith("@"):
            board = boards.find_board(what)
            if board is None:
                hint = one_of(what, boards.board_names(), what="boards")
                raise ConfigError("unknown-board", f"there is no board {what!r}", where=f"--target {text}", hint=hint)
            row = DraftTarget(name or what.rpartition("/")[2], extends=what)
        elif what in plugins.backends:
            row = DraftTarget(name or what, backend=what)
        else:
            choices = {*plugins.backends, *boards.board_names()}
            hint = one_of(what, choices, what="backends and boards")
            raise ConfigError("unknown-backend", f"there is no backend {what!r}", where=f"--target {text}", hint=hint)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", row.name) or row.name in {other.name for other in targets}:
            hint = f"name it otherwise: --target OTHER={what}"
            raise ConfigError("invalid-name", f"{row.name!r} is taken or no name", where=f"--target {text}", hint=hint)
        targets.append(row)
    absent = next((row for row in targets if row.extends and not _runs_here(row.extends, plugins)), None)
    if absent and not any(row.name == "ci" for row in targets):
        targets.append(DraftTarget("ci", extends=_DEFAULT_BOARD, stands_in_for=absent.name))
    return tuple(targets)


def _runs_here(board: str, plugins: Plugins) -> bool:
    """Whether an engine for this board of the catalogue can be built and run on this machine."""
    from edgetool.config.load import load
    from edgetool.engine.plan import plan_backend

    with tempfile.TemporaryDirectory(prefix="edgetool-") as folder:
        path = Path(folder) / "board.toml"
        path.write_text(f'schema = 1\n[targets.board]\nextends = "{board}"\n', encoding="utf-8")
        target = load(path, known_backends=plugins.backends).target("board")
    planned = plan_backend(target, target.backend, plugins, where=board)
    return planned.availability is not None and planned.availability.can_build and planned.availability.can_run


def _write(path: Path, text: str, plugins: Plugins) -> None:
    """Aside first, and into place only when it loads: a half-written file would be worse than none."""
    from edgetool.config.load import load
    from edgetool.disk import host_errors, private_folder

    with host_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with private_folder(path) as folder:
        aside = folder / path.name
        aside.write_text(text, encoding="utf-8")
        load(aside, known_backends=plugins.backends, known_importers=plugins.importers)
        aside.replace(path)


def _summary(draft: Draft) -> str:
    inputs = ", ".join(str(spec) for spec in draft.signature.inputs) if draft.signature else "inputs to be declared"
    return f"{inputs}  targets {', '.join(row.name for row in draft.targets)}  recipe {draft.recipe}"
