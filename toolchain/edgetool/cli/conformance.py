"""`edgetool conformance`: what a backend makes of the ONNX project's own tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetool.cli.options import File, Json, Quiet
from edgetool.cli.output import Output
from edgetool.errors import ConfigError

if TYPE_CHECKING:
    from edgetool.config.result import ResolvedTarget
    from edgetool.conformance.run import Conformance
    from edgetool.plugin.manager import Plugins

_FAILED = 4
_TOLD = 50
"""Of so few cases each refusal is told with its reason; of more, the defects alone."""

BackendName = Annotated[
    str | None, typer.Option("--backend", metavar="NAME", help="The backend to look at, with its default options.")
]
TargetName = Annotated[
    str | None,
    typer.Option("--target", "-t", metavar="NAME", help="A target's backend instead: its options, for its device."),
]
Only = Annotated[
    str | None, typer.Option("--only", metavar="TEXT", help="Cases whose name contains this, e.g. test_conv.")
]
Every = Annotated[int, typer.Option("--every", min=1, metavar="N", help="Take every Nth case only.")]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", min=1, metavar="N", help="Processes; else one a core.")]
To = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE.json", help="Write every case into a file.")]


def conformance(
    backend: BackendName = None,
    target: TargetName = None,
    file: File = None,
    only: Only = None,
    every: Every = 1,
    jobs: Jobs = None,
    output_path: To = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run the ONNX project's operator tests through a backend.

    Each of some 1,900 models is imported, built, run and compared, and ends validated or refused with a reason. A
    crash, a hang, an unexpected exception or a wrong result that nothing noticed is a defect: exit 4.
    """
    import json as text
    from dataclasses import asdict

    from edgetool.cli.project import services
    from edgetool.conformance.cases import names
    from edgetool.conformance.run import run_conformance
    from edgetool.disk import replace_file

    output = Output(json, quiet)
    plugins, looked_at, where = _looked_at(backend, target, file)
    cases = [name for name in names() if only is None or only in name][::every]
    if not cases:
        raise ConfigError(
            "no-such-case", f"no case has {only!r} in its name", where="--only", hint="names are like test_relu"
        )

    def progress(done: int, total: int) -> None:
        if done % 100 == 0 or done == total:
            output.talk(f"{done}/{total} cases")

    with services(output, plugins) as shared:
        found = run_conformance(
            looked_at,
            cases,
            plugins,
            shared.children,
            where=where,
            jobs=jobs or len(os.sched_getaffinity(0)),
            cache=shared.cache.root,
            progress=progress,
        )
    if output_path is not None:
        replace_file(output_path, (text.dumps(found.to_json(), indent=1, ensure_ascii=False) + "\n").encode())
        output.talk(f"wrote {output_path}")
    counts = {str(fate): count for fate, count in found.counts.items()}
    defects = [asdict(row) for row in found.defects]
    output.result(
        {"backend": found.backend, "version": found.version, "counts": counts, "defects": defects}, _text(found)
    )
    if found.defects:
        sys.exit(_FAILED)


def _looked_at(backend: str | None, target: str | None, file: Path | None) -> tuple[Plugins, ResolvedTarget, str]:
    """The plugins, the target, and what named it."""
    from edgetool.cli.project import open_project
    from edgetool.config.result import ResolvedTarget
    from edgetool.plugin.manager import load_plugins

    if (backend is None) == (target is None):
        raise ConfigError(
            "which-backend",
            "name a backend, or a target whose backend it is" if backend is None else "both are named",
            where="--backend, --target",
            hint="edgetool conformance --backend onnxruntime, or --target NAME",
        )
    if target is not None:
        project = open_project(file)
        return project.plugins, project.config.target(target), f"{project.config.path} [targets.{target}]"
    assert backend is not None
    plugins = load_plugins()
    plugins.backend(backend, where="--backend")
    return plugins, ResolvedTarget(name=backend, backend=backend), "--backend"


def _text(found: Conformance) -> str:
    counts = ", ".join(f"{count} {fate}" for fate, count in found.counts.items())
    lines = [f"{found.backend} {found.version}: {len(found.rows)} cases of onnx {found.onnx}: {counts}"]
    told = found.rows if len(found.rows) <= _TOLD else found.defects
    return "\n".join([*lines, *(f"  {row.fate}: {row.name}: {row.reason}" for row in told if row.fate != "validated")])
