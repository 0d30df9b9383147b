"""Bundles, keys and certificates for the tests of package formats."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from edgetool.bundle.read import read_bundle
from edgetool.exporters.package import Package, open_exporter
from edgetool.exporters.package import package as write_package
from edgetool.plugin.manager import load_plugins
from edgetool.trust.keys import load_signer
from edgetool.trust.signer import Signer
from tests.firmware.bundles import Recipe, write_recipe
from tests.firmware.credentials import Authority, make_authority, write_key
from tests.tiny import write_tiny_project

_TARGETS = """\
schema = 1
[model]
name = "tiny"
version = "1.0.0"
source = "model.onnx"
license = "MIT"
[data]
calibration = "calib"
evaluation = "eval"
[targets.ort]
backend = "onnxruntime"
"""


@pytest.fixture(scope="session")
def _built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `edgetool build` makes of a small network; not to be changed."""
    folder = tmp_path_factory.mktemp("built")
    write_tiny_project(folder, _TARGETS, calibration=4, evaluation=4)
    done = subprocess.run(
        [sys.executable, "-m", "edgetool", "build", "-t", "ort", "--latency-time", "0.05s"],
        cwd=folder,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "dist" / "tiny-1.0.0-ort.edgebundle"


@pytest.fixture
def bundle(_built: Path, tmp_path: Path) -> Path:
    """A real bundle of an ONNX Runtime engine, `tiny-1.0.0-ort.edgebundle`, the test's own."""
    return Path(shutil.copytree(_built, tmp_path / "bundles" / _built.name))


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Writes a bundle as the fields of `Recipe` ask: `make_bundle(name="my net", files={"engine.plan": 5_000_000})`."""

    def make(**fields: Any) -> Path:
        return write_recipe(Recipe(**fields), tmp_path / "bundles")

    return make


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., Package]:
    """Packages in this process: `package(bundle, "deb", options={...}, signer=...)`; into `packages/` by default."""

    def write(
        bundle: Path,
        name: str,
        *,
        options: Mapping[str, Any] | None = None,
        signer: Signer | None = None,
        output: Path | None = None,
        overwrite: bool = False,
    ) -> Package:
        exporter = open_exporter(name, options or {}, load_plugins(), where=str(bundle))
        target = output or tmp_path / "packages"
        return write_package(read_bundle(bundle), name, exporter, output=target, signer=signer, overwrite=overwrite)

    return write


@pytest.fixture(scope="session")
def _keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="session")
def ec_key(_keys: Path) -> Path:
    """PEM file of a P-256 key."""
    return write_key(_keys / "ec.key", ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="session")
def rsa_key(_keys: Path) -> Path:
    """PEM file of an RSA key of 2048 bits."""
    return write_key(_keys / "rsa.key", rsa.generate_private_key(public_exponent=65537, key_size=2048))


@pytest.fixture(scope="session")
def authority(_keys: Path) -> Authority:
    """A root, an intermediate, and `certify(key, name, usages=..., days=...)`."""
    return make_authority(_keys)


@pytest.fixture(scope="session")
def certificate(authority: Authority, rsa_key: Path) -> Path:
    """Of `rsa_key`, for email protection and code signing; the intermediate's after it in the same file."""
    return authority.certify(rsa_key, "rsa-signer")


@pytest.fixture(scope="session")
def ec_certificate(authority: Authority, ec_key: Path) -> Path:
    """Of `ec_key`, otherwise as `certificate`."""
    return authority.certify(ec_key, "ec-signer")


@pytest.fixture(scope="session")
def signer_of() -> Callable[..., Signer]:
    """`signer_of(key)` or `signer_of(key, certificate)`: what an exporter is given."""

    def signer(key: Path, certificate: Path | None = None) -> Signer:
        return load_signer(str(key), certificate=certificate)

    return signer


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts an empty file system of a size: `small_disk("16k")`; gone after the test."""
    folders: list[Path] = []

    def mount(size: str) -> Path:
        if os.geteuid() != 0:
            pytest.skip("only root may mount a small file system")
        folder = tmp_path / f"disk{len(folders)}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, text=True
        )
        if done.returncode:
            if os.environ.get("CI") == "true":
                pytest.fail(f"root cannot mount in CI: {done.stderr}")
            pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
        folders.append(folder)
        return folder

    yield mount
    for folder in reversed(folders):
        subprocess.run(["umount", "-l", str(folder)], check=True)
