"""Projects with recipes to compare: an example under a targets file of our own, built by `edgetool`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.networks import cache_folder

_EDGETOOL = (sys.executable, "-m", "edgetool")
_SOUND = (0, 4, 9)
"""Exit codes of a build that has an engine: budgets held, missed, not all proven."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A recipe on a backend.

    Attributes:
        name: of the target.
        passes: TOML tables, as a recipe of a targets file has them.
        backend: whose engine it becomes.
        extra: further lines of the target.
    """

    name: str
    passes: tuple[str, ...]
    backend: str = "onnxruntime"
    extra: str = ""

    def __str__(self) -> str:
        return f"{self.backend}: {'; '.join(self.passes)}"


@dataclass(frozen=True, slots=True)
class Built:
    """What became of an entry.

    Attributes:
        bundle: the folder; None if there is none.
        facts: what the passes did, pass by pass.
        failure: why there is no bundle.
    """

    bundle: Path | None = None
    facts: tuple[Mapping[str, Any], ...] = ()
    failure: str | None = None

    @property
    def engine_bytes(self) -> int:
        return _bytes_under(self.bundle / "model") if self.bundle else 0


def write_project(example: Path, folder: Path, entries: Sequence[Entry]) -> Path:
    """Make a project beside the example: its own files by links, its targets file with our recipes; returns it."""
    folder.mkdir(parents=True)
    for path in example.iterdir():
        if path.name not in ("targets.toml", "dist", "__pycache__"):
            (folder / path.name).symlink_to(path)
    head, _, _ = (example / "targets.toml").read_text().partition("[recipes.")
    lines = [head]
    for entry in entries:
        lines += [f"[recipes.{entry.name}]", f"passes = [{', '.join(entry.passes)}]", ""]
    for entry in entries:
        lines += [f"[targets.{entry.name}]", f'backend = "{entry.backend}"', f'recipe = "{entry.name}"', "threads = 1"]
        lines += [entry.extra, ""]
    (folder / "targets.toml").write_text("\n".join(lines))
    return folder


def float_model(project: Path) -> Path:
    """The network as edgetool imports it."""
    target = project.with_name(f"{project.name}-float.onnx")
    _run([*_EDGETOOL, "convert", "--quiet", "--output", str(target)], project)
    return target


def build(project: Path, entries: Sequence[Entry]) -> dict[str, Built]:
    """Build every entry; those that fail do not hinder the others."""
    found = {}
    for entry in entries:
        command = [*_EDGETOOL, "build", "--target", entry.name, "--output", "dist", "--allow-unverified", "--json"]
        events = _events(_start(command, project))
        found[entry.name] = _built(project, entry, events)
    return found


def archive(bundle: Path) -> int:
    """Bytes of the bundle's archive, in whole."""
    target = bundle.with_suffix(".edgearchive")
    printed = _run([*_EDGETOOL, "archive", str(bundle), "--output", str(target), "--json"], bundle.parent)
    return int(json.loads(printed.splitlines()[-1])["size"])


def start(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run an edgetool command with the benchmarks' cache, one thread for each library."""
    return _start([*_EDGETOOL, *arguments], folder)


def _built(project: Path, entry: Entry, events: Sequence[Mapping[str, Any]]) -> Built:
    ends = [event for event in events if event.get("event") in ("build-finished", "build-failed")]
    errors = [event["message"] for event in events if event.get("event") == "error"]
    if not ends:
        return Built(failure=errors[-1] if errors else "edgetool ended without a result")
    end = ends[-1]
    if end["event"] == "build-failed" or end["exit_code"] not in _SOUND:
        return Built(failure=str(end.get("message") or f"exit code {end['exit_code']}"))
    (bundle,) = (project / "dist").glob(f"*-{entry.name}.edgebundle")
    manifest = json.loads((bundle / "manifest.json").read_text())
    facts = tuple(one.get("facts", {}) for one in manifest["passes"])
    return Built(bundle, facts)


def _events(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        return [{"event": "error", "message": (done.stderr.strip() or "no output").splitlines()[-1]}]
    return [json.loads(line) for line in lines]


def _start(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "EDGETOOL_CACHE_DIR": str(cache_folder() / "builds"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def _run(command: Sequence[str], folder: Path) -> str:
    done = _start(command, folder)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[2:])} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def _bytes_under(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
