"""`edgetool reproduce`: build a bundle again, and compare."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from edgetool.cli.bundled import BundlePath
from edgetool.cli.options import File, Json, Quiet, Set, Trust, flag
from edgetool.cli.output import Output
from edgetool.disk import scratch_folder

UseCache = Annotated[bool, flag("--use-cache", help="Take steps from the cache where it has them.")]
Keep = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Keep the second bundle in this folder.")
]
FromSource = Annotated[
    str | None,
    typer.Option("--source", metavar="SOURCE", help="What was built, if it was named on the command line then."),
]


def reproduce(
    bundle: BundlePath,
    file: File = None,
    source: FromSource = None,
    overrides: Set = None,
    use_cache: UseCache = False,
    output_path: Keep = None,
    trust_source: Trust = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build BUNDLE again from this project, and compare file by file.

    Exit 0: equal bytes, or equal outputs where no more is promised.
    7: other bytes from equal inputs. 8: inputs or tools changed since.
    9: it cannot be built or run here.
    """
    from edgetool.bundle.read import read_bundle
    from edgetool.cli.project import open_project, services
    from edgetool.engine.plan import plan
    from edgetool.errors import DeviceError, UnavailableError
    from edgetool.reproduce.rebuild import NotRebuilt, Rebuilt, rebuild
    from edgetool.reproduce.text import reproduction_text
    from edgetool.reproduce.verdict import judge

    output = Output(json, quiet)
    opened = read_bundle(bundle)
    project = open_project(file, overrides=overrides or (), source=source)
    target = opened.manifest.target.name
    project.config.target(target)
    with ExitStack() as stack:
        folder = output_path or stack.enter_context(scratch_folder("edgetool-reproduce"))
        again: Rebuilt | NotRebuilt
        try:
            planned = plan(project.config, target, project.plugins, source=source, trusted=trust_source)
        except (DeviceError, UnavailableError) as error:
            again = NotRebuilt(str(error), error.hint)
        else:
            with services(output, project.plugins, use_cache=use_cache) as shared:
                again = rebuild(opened, planned, shared, output=folder)
        found = judge(opened, again, root=project.config.root)
    output.result({"bundle": str(bundle), **found.to_json()}, reproduction_text(bundle, found))
    if found.exit_code:
        sys.exit(found.exit_code)
