"""`tar`: the bundle comes out again, byte for byte, through the tar of the system."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from edgetool.bundle.read import read_bundle
from edgetool.exporters.package import Package

Run = Callable[..., Package]


def _extract(archive: Path, folder: Path) -> None:
    folder.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)


def test_the_bundle_comes_out_again(bundle: Path, package: Run, tmp_path: Path) -> None:
    bundle.with_name(bundle.name + ".sig").write_text("signed")
    done = package(bundle, "tar")
    assert done.path.name == "tiny-1.0.0-ort.tar"
    _extract(done.path, tmp_path / "out")
    assert read_bundle(tmp_path / "out" / bundle.name).content_digest == read_bundle(bundle).content_digest
    assert (tmp_path / "out" / f"{bundle.name}.sig").read_text() == "signed"
