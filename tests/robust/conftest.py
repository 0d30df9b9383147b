"""Projects to build in, and small file systems to fill."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.robust.project import TARGETS, Project
from tests.tiny import write_tiny_project


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    write_tiny_project(folder, TARGETS, calibration=24, evaluation=4)
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Project:
    shutil.copytree(template, tmp_path / "project")
    return Project(tmp_path / "project", tmp_path / "cache")


@pytest.fixture(scope="session")
def warm(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose float target is in the cache; not to be changed."""
    folder = tmp_path_factory.mktemp("warm")
    shutil.copytree(template, folder / "project")
    made = Project(folder / "project", folder / "cache")
    done = made.build()
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts small or read-only file systems; they are gone after the test."""
    folders: list[Path] = []

    def mount(name: str, *options: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
        if os.geteuid() != 0:
            pytest.skip("only root may mount a small file system")
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            if os.environ.get("CI") == "true":
                pytest.fail(f"root cannot mount in CI: {done.stderr}")
            pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
        folders.append(folder)
        return folder

    yield mount
    for folder in reversed(folders):
        subprocess.run(["umount", "-l", str(folder)], check=True)
