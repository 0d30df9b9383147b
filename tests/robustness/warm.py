"""What a process learns from its first command (parsers, validators, schemas): learned once, for all forks."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
import tempfile
from collections.abc import Iterator

from tests.robustness.seeds import BUNDLE, Seeds
from tests.robustness.trial import import_everything, run_command


def warm_up(seeds: Seeds) -> None:
    """Import everything, and run commands on sound files in this process.

    Raises:
        RuntimeError: a sound file is refused: nothing that mutants of it end with would mean anything.
    """
    import_everything()
    bundle = str(seeds.folder / BUNDLE)
    for command in (
        ("targets", "list"),
        ("build", "--dry-run", "-t", "float"),
        ("check", "-t", "float"),
        ("inspect", "model.onnx"),
        ("inspect", bundle),
        ("verify", bundle, "--hashes-only"),
        ("report", bundle, "-O", "json"),
    ):
        said = io.StringIO()
        with _in_project(seeds), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = run_command(command)
        if code not in (0, 4):  # a busy machine may have missed the budget of time when the bundle was built
            raise RuntimeError(f"edgetool {' '.join(command)}: exit code {code}: {said.getvalue()}")
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def _in_project(seeds: Seeds) -> Iterator[None]:
    before, hook = dict(os.environ), sys.excepthook
    with tempfile.TemporaryDirectory(prefix="warm-") as cache, contextlib.chdir(seeds.folder / "project"):
        os.environ["EDGETOOL_CACHE_DIR"] = cache
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
            sys.excepthook = hook
