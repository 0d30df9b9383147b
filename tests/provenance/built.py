"""Real bundles of a small network, and bundles that somebody changed together with their manifest."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgetool.bundle.verify import MANIFEST, MEASUREMENTS, content_digest
from tests.tiny import write_tiny_project

TARGETS = """\
schema = 1
[model]
name = "tiny"
version = "1.0.0"
source = "model.onnx"
license = "MIT OR Apache-2.0"
[model.inputs.x]
shape = ["batch", 3, 8, 8]
[model.dims.batch]
max = 4
[data]
calibration = "calib"
evaluation = "eval"
[recipes.int8]
passes = [{ use = "simplify" }, { use = "quantize-static" }]
[targets.ort]
backend = "onnxruntime"
recipe = "int8"
budget = { min_cosine = 0.9, size = "1MiB" }
"""

BUNDLE = "tiny-1.0.0-ort.edgebundle"


def write_project(folder: Path) -> Path:
    """A project, locked and with nothing built."""
    folder.mkdir(parents=True)
    write_tiny_project(folder, TARGETS, calibration=6, evaluation=4)
    return folder


def edgetool(folder: Path, *arguments: str | Path, date: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder."""
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    return subprocess.run(
        [sys.executable, "-m", "edgetool", *map(str, arguments)],
        cwd=folder,
        env={**environment, "OMP_NUM_THREADS": "1", **({"SOURCE_DATE_EPOCH": date} if date else {})},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def build(folder: Path, *arguments: str, date: str | None = None) -> Path:
    """The bundle of the project in a folder."""
    done = edgetool(folder, "build", "-t", "ort", "--latency-time", "0.05s", *arguments, date=date)
    assert done.returncode == 0, done.stderr
    return folder / "dist" / BUNDLE


def copied(bundle: Path, folder: Path) -> Path:
    """A copy under the same name."""
    return Path(shutil.copytree(bundle, folder / bundle.name))


def forge(bundle: Path, changes: dict[str, Callable[[bytes], bytes]]) -> Path:
    """Change files of a bundle and its records of them, so that it is sound by itself."""
    for path, change in changes.items():
        if path != MANIFEST:
            (bundle / path).write_bytes(change((bundle / path).read_bytes()))
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    if MANIFEST in changes:
        manifest = json.loads(changes[MANIFEST](json.dumps(manifest).encode()))
    manifest["files"] = [row for row in manifest["files"] if (bundle / row["path"]).is_file()]
    for row in manifest["files"]:
        data = (bundle / row["path"]).read_bytes()
        row |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    text = (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()
    (bundle / MANIFEST).write_bytes(text)
    hashes = {row["path"]: row["sha256"] for row in manifest["files"]}
    digest = content_digest({**hashes, MANIFEST: hashlib.sha256(text).hexdigest()})
    measured = json.loads((bundle / MEASUREMENTS).read_bytes())
    (bundle / MEASUREMENTS).write_text(json.dumps({**measured, "content_digest": digest}))
    return bundle


def edited(change: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    """A change of a JSON document: edits it in place, or returns another."""

    def apply(data: bytes) -> bytes:
        document = json.loads(data)
        other = change(document)
        return (json.dumps(document if other is None else other, indent=2) + "\n").encode()

    return apply


def remeasured(bundle: Path, change: Callable[[Any], object]) -> Path:
    """Other measurements, which no hash covers."""
    path = bundle / MEASUREMENTS
    path.write_bytes(edited(change)(path.read_bytes()))
    return bundle
