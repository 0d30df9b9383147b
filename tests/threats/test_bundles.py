"""A hostile bundle is refused by every command that takes one, before anything of it is opened."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetool.bundle.read import read_bundle
from edgetool.errors import IntegrityError
from tests.firmware.damage import flip_byte

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Path:
    return make_bundle()


def engine_of(bundle: Path) -> Path:
    return bundle / read_bundle(bundle).manifest.entry


@pytest.mark.parametrize(
    "arguments",
    [
        ("validate",),
        pytest.param(("bench",), marks=pytest.mark.slow),
        pytest.param(("package", "--format", "tar"), marks=pytest.mark.slow),
        pytest.param(("verify", "--hashes-only"), marks=pytest.mark.slow),
        pytest.param(("archive",), marks=pytest.mark.slow),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_changed_engine_is_not_opened(arguments: tuple[str, ...], bundle: Path, run_cli: Cli) -> None:
    flip_byte(engine_of(bundle))
    done = run_cli(arguments[0], bundle, *arguments[1:])
    assert done.returncode == 7, done.stderr
    assert not bundle.with_suffix(".tar").exists()


def _link(bundle: Path) -> None:
    (bundle / "model" / "more").symlink_to("/etc/passwd")


def _hard_link(bundle: Path) -> None:
    (bundle.parent / "secret").write_text("x")
    os.link(bundle.parent / "secret", bundle / "model" / "more")


def _pipe(bundle: Path) -> None:
    os.mkfifo(bundle / "model" / "more")


def _library(bundle: Path) -> None:
    (bundle / "model" / "more.so").write_bytes(b"\x7fELF")


def _climbing(bundle: Path) -> None:
    manifest = bundle / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"path": "io/', '"path": "../io/'))


def _huge_manifest(bundle: Path) -> None:
    with (bundle / "manifest.json").open("r+b") as file:
        file.truncate(1 << 40)


def _deep_manifest(bundle: Path) -> None:
    (bundle / "manifest.json").write_text('{"schema_version": 1, "files": ' + "[" * 100_000)


def _swollen_file(bundle: Path) -> None:
    with engine_of(bundle).open("r+b") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize(
    "attack", [_link, _hard_link, _pipe, _library, _climbing, _huge_manifest, _deep_manifest, _swollen_file]
)
def test_what_no_bundle_may_hold(attack: Callable[[Path], None], bundle: Path) -> None:
    attack(bundle)
    with pytest.raises(IntegrityError) as error:
        read_bundle(bundle)
    assert error.value.code == "bundle-damaged"
