"""One bundle of a real network in every format by one command: accepted by each system, and refused after tampering."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.firmware.credentials import Authority
from tests.firmware.damage import flip_byte

pytestmark = [pytest.mark.slow, pytest.mark.network]

OPTIONS = (
    'swu.hardware=["edgeboard:1.0"]', 'mender.device_types=["board"]', "rauc.compatible=board",
    'yocto.machines=["board"]', "oci-image.architecture=amd64",
)  # fmt: skip
FORMATS = ("tar", "deb", "oci", "oci-image", "triton", "swu", "mender", "rauc", "yocto", "buildroot")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """magika in int8, on real files."""
    import sys

    from examples.magika import prepare

    prepare.main()
    folder = tmp_path_factory.mktemp("dist")
    example = Path(prepare.__file__).parent / "targets.toml"
    command = [sys.executable, "-m", "edgetool", "build", "--file", example, "--target", "ort-int8", "-o", folder, "-q"]
    subprocess.run(command, check=True)
    (bundle,) = folder.glob("*.edgebundle")
    return bundle


def test_every_format(
    network: Path,
    run_cli: Callable[..., subprocess.CompletedProcess[str]],
    require_tool: Callable[[str], str],
    rsa_key: Path,
    certificate: Path,
    authority: Authority,
    tmp_path: Path,
) -> None:
    public = tmp_path / "public.pem"
    openssl = require_tool("openssl")
    subprocess.run([openssl, "pkey", "-in", rsa_key, "-pubout", "-out", public], check=True)
    chain = tmp_path / "chain.pem"
    chain.write_bytes(authority.root.read_bytes() + authority.intermediate.read_bytes())
    named = [word for name in FORMATS for word in ("--format", name)]
    options = [word for option in OPTIONS for word in ("--option", option)]
    out = tmp_path / "packages"
    done = run_cli(
        "package", network, *named, *options, "--key", rsa_key, "--certificate", certificate, "--output", out
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("packaged ") == len(FORMATS)

    name = network.name.removesuffix(".edgebundle")
    judges: dict[str, tuple[list[str | Path], Path]] = {
        "deb": ([require_tool("dpkg-deb"), "-x", next(out.glob("*.deb")), tmp_path / "deb"], next(out.glob("*.deb"))),
        "mender": (
            [require_tool("mender-artifact"), "validate", "-k", public, out / f"{name}.mender"],
            out / f"{name}.mender",
        ),
        "rauc": (
            [
                require_tool("rauc"),
                f"--keyring={authority.root}",
                "extract",
                next(out.glob("*.raucb")),
                tmp_path / "rauc",
            ],
            next(out.glob("*.raucb")),
        ),
        "swu": (
            [require_tool("swupdate"), "-c", "-i", out / f"{name}.swu", "-H", "edgeboard:1.0", "-k", chain],
            out / f"{name}.swu",
        ),
        "tar": (["tar", "-C", tmp_path, "-xf", out / f"{name}.tar"], out / f"{name}.tar"),
    }
    for kind, (command, package) in judges.items():
        first = subprocess.run(command, capture_output=True, check=False)
        assert first.returncode == 0, (kind, first.stderr)
        flip_byte(package)
        again = subprocess.run(command, capture_output=True, check=False)
        if kind == "tar":  # it has no hashes of its own: the bundle inside has
            assert run_cli("verify", tmp_path / network.name).returncode == 7
        else:
            assert again.returncode != 0, kind
    for kind in ("yocto", "buildroot"):
        (archive,) = (out / f"{name}-{kind}").rglob("*.tar")
        texts = [
            path.read_text() for path in (out / f"{name}-{kind}").rglob("*") if path.suffix in (".bb", ".hash", ".inc")
        ]
        assert any(hashlib.sha256(archive.read_bytes()).hexdigest() in text for text in texts), kind
    for path in out.rglob("blobs/sha256/*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
