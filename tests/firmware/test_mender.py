"""`mender`: validated by mender-artifact, and installed, kept and taken back by the Mender client."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgetool.bundle.read import read_bundle
from edgetool.errors import ConfigError, ModelError
from edgetool.exporters.package import Package
from edgetool.trust.keys import load_signer
from tests.firmware.credentials import read_key, write_key, write_public_key
from tests.firmware.damage import damaged_copy
from tests.firmware.mender_device import MenderDevice, make_device

Run = Callable[..., Package]
Make = Callable[..., Path]
Write = Callable[..., Path]
Validate = Callable[..., int]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the bundle goes on the device."""
    return tmp_path / "models" / "net"


@pytest.fixture
def artifact(package: Run, ec_key: Path, place: Path) -> Write:
    def write(bundle: Path, *, key: Path = ec_key, **options: Any) -> Path:
        given = {"device_types": ["board"], "path": str(place), **options}
        return package(bundle, "mender", options=given, signer=load_signer(str(key)), overwrite=True).path

    return write


@pytest.fixture
def public_key(ec_key: Path, tmp_path: Path) -> Path:
    return write_public_key(tmp_path / "public.pem", ec_key)


@pytest.fixture
def validate(require_tool: Callable[[str], str], public_key: Path) -> Validate:
    """The exit status of `mender-artifact validate`."""
    tool = require_tool("mender-artifact")

    def run(path: Path, *, key: Path = public_key) -> int:
        command = [tool, "validate", "-k", key, path]
        return subprocess.run(command, capture_output=True, check=False).returncode

    return run


@pytest.fixture
def device(tmp_path: Path, public_key: Path, require_tool: Callable[[str], str]) -> MenderDevice:
    return make_device(tmp_path / "device", public_key, require_tool)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """The update module."""
    done = subprocess.run([sys.executable, "-m", "edgetool_firmware.mender"], capture_output=True, check=True)
    path = tmp_path / "edgetool-model"
    path.write_bytes(done.stdout)
    return path


def engine(place: Path) -> str | None:
    """The engine that an application would load."""
    path = place / "model" / "e.onnx"
    return path.read_text() if path.is_file() else None


def test_an_ec_signature_is_valid_and_a_changed_byte_is_not(
    bundle: Path, artifact: Write, validate: Validate, rsa_key: Path, tmp_path: Path
) -> None:
    path = artifact(bundle)
    assert validate(path) == 0
    weights = (bundle / read_bundle(bundle).manifest.entry).read_bytes()[:200]
    for within in (weights, b"artifact_provides", b"data/0000/index"):
        assert validate(damaged_copy(path, within=within)) != 0
    assert validate(path, key=write_public_key(tmp_path / "other.pem", rsa_key)) != 0


def test_an_rsa_signature_is_valid(
    bundle: Path, artifact: Write, validate: Validate, rsa_key: Path, tmp_path: Path
) -> None:
    assert validate(artifact(bundle, key=rsa_key), key=write_public_key(tmp_path / "rsa.pem", rsa_key)) == 0


def test_a_pkcs8_key_which_menders_own_tool_refuses_signs_too(
    bundle: Path, artifact: Write, validate: Validate, ec_key: Path, tmp_path: Path
) -> None:
    pkcs8 = tmp_path / "pkcs8.key"
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    pkcs8.write_bytes(read_key(ec_key).private_bytes(encoding, form, serialization.NoEncryption()))
    assert validate(artifact(bundle, key=pkcs8)) == 0


def test_a_curve_that_mender_does_not_know_is_refused(bundle: Path, artifact: Write, tmp_path: Path) -> None:
    key = write_key(tmp_path / "p384.key", ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(ConfigError, match="384 bits") as raised:
        artifact(bundle, key=key)
    assert raised.value.code == "key-unsuitable"


def test_install_and_commit(bundle: Path, artifact: Write, device: MenderDevice, place: Path) -> None:
    bundle.with_name(bundle.name + ".sig").write_text("signed")
    done = device.run("install", artifact(bundle))
    assert done.returncode == 0, done.stderr
    assert read_bundle(place.resolve()).content_digest == read_bundle(bundle).content_digest
    assert place.with_name("net.sig").read_text() == "signed"
    committed = device.run("commit")
    assert committed.returncode == 0, committed.stderr
    assert device.provides() == {"artifact_name": "tiny-1.0.0", "data-partition.models.tiny.version": "1.0.0"}
    assert not list(place.parent.glob("net.d/incoming*"))


def test_install_and_rollback(make_bundle: Make, artifact: Write, device: MenderDevice, place: Path) -> None:
    old, new = (artifact(make_bundle(version=version, files={"e.onnx": version.encode()})) for version in ("1", "2"))
    assert device.run("install", old).returncode == 0
    assert device.run("commit").returncode == 0
    assert device.run("install", new).returncode == 0
    assert engine(place) == "2"
    assert device.run("rollback").returncode == 0
    assert engine(place) == "1"
    assert device.provides()["data-partition.models.net.version"] == "1"


def test_rollback_of_the_first_one_leaves_nothing(
    make_bundle: Make, artifact: Write, device: MenderDevice, place: Path
) -> None:
    assert device.run("install", artifact(make_bundle())).returncode == 0
    assert device.run("rollback").returncode == 0
    assert not place.is_symlink()
    assert not place.exists()


def test_a_bundle_that_is_ill_when_it_is_to_be_kept_is_taken_back(
    make_bundle: Make, artifact: Write, device: MenderDevice, place: Path
) -> None:
    old, new = (artifact(make_bundle(version=version, files={"e.onnx": version.encode()})) for version in ("1", "2"))
    assert device.run("install", old).returncode == 0
    assert device.run("commit").returncode == 0
    assert device.run("install", new).returncode == 0
    (place / "model" / "e.onnx").write_text("x")
    assert device.run("commit").returncode != 0
    assert engine(place) == "1"


def test_what_is_not_for_the_device_or_not_as_signed_is_refused(
    make_bundle: Make, artifact: Write, device: MenderDevice, rsa_key: Path, place: Path
) -> None:
    bundle = make_bundle(files={"e.onnx": b"engine" * 100})
    other = artifact(bundle, device_types=["another-board"])
    assert "not compatible" in device.run("install", other).stderr.lower()
    path = artifact(bundle)
    assert device.run("install", damaged_copy(path, within=b"engine" * 100)).returncode != 0
    assert device.run("install", artifact(bundle, key=rsa_key)).returncode != 0
    assert not place.exists()


def test_names_of_files_are_taken_literally(
    make_bundle: Make, artifact: Write, device: MenderDevice, place: Path
) -> None:
    names = [
        "my engine.onnx",
        " leading",
        'a"b.bin',
        "$(touch x).bin",
        "größe.bin",
        "it's;.bin",
        "-n",
        "*",
        "trailing ",
    ]
    done = device.run("install", artifact(make_bundle(files=dict.fromkeys(names, b"content"))))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (place / "model").iterdir()) == sorted(names)


@pytest.mark.parametrize("shell", ["dash", "busybox"])
@pytest.mark.parametrize(
    ("path", "index"),
    [
        ("/x/../etc", "000000 manifest.json"),
        ("relative", "000000 manifest.json"),
        ("/x;reboot", "000000 manifest.json"),
        ("/x/", "000000 manifest.json"),
        ("", "000000 manifest.json"),
        (None, "000000 ../../escaped"),
        (None, "000000 /../escaped"),
        (None, "../../etc/passwd manifest.json"),
        (None, "000000"),
    ],
)
def test_the_module_trusts_no_path(
    tmp_path: Path, module: Path, require_tool: Callable[[str], str], shell: str, path: str | None, index: str
) -> None:
    files = tmp_path / "payload" / "files"
    files.mkdir(parents=True)
    (files / "path").write_text(f"{tmp_path / 'place' / 'net' if path is None else path}\n")
    (files / "index").write_text(f"{index}\n")
    (files / "000000").write_text("{}")
    command = [require_tool(shell), *(["sh"] if shell == "busybox" else []), module]
    done = subprocess.run(
        [*command, "ArtifactInstall", tmp_path / "payload"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode != 0
    assert not list(tmp_path.rglob("escaped"))
    assert not list(tmp_path.rglob("manifest.json"))


@pytest.mark.parametrize("shell", ["dash", "busybox"])
def test_the_module_repeats_what_a_power_failure_has_cut_off(
    make_bundle: Make,
    artifact: Write,
    module: Path,
    place: Path,
    tmp_path: Path,
    require_tool: Callable[[str], str],
    shell: str,
) -> None:
    command = [require_tool(shell), *(["sh"] if shell == "busybox" else []), module]

    def state(name: str, payload: Path) -> int:
        return subprocess.run([*command, name, payload], capture_output=True, check=False).returncode

    first, second = (
        _payload(artifact(make_bundle(version=version, files={"e.onnx": version.encode()})), tmp_path / version)
        for version in ("1", "2")
    )
    assert state("ArtifactRollback", first) == 0, "nothing was installed yet"
    assert [state(name, first) for name in ("ArtifactInstall", "ArtifactCommit", "Cleanup")] == [0, 0, 0]
    assert state("ArtifactInstall", second) == 0
    assert engine(place) == "2"
    assert [state("ArtifactRollback", second) for _ in range(3)] == [0, 0, 0]
    assert engine(place) == "1"
    (place.parent / "net.d" / "incoming-mender" / "bundle").mkdir(parents=True)
    assert state("Cleanup", second) == 0
    assert not list(place.parent.glob("net.d/incoming*"))
    assert engine(place) == "1"


def _payload(path: Path, folder: Path) -> Path:
    """What the client gives to an update module."""
    (folder / "files").mkdir(parents=True)
    data = subprocess.run(["tar", "-xOf", path, "data/0000.tar"], capture_output=True, check=True).stdout
    subprocess.run(["tar", "-xf", "-", "-C", folder / "files"], input=data, check=True)
    return folder


def test_the_module_says_what_it_can(module: Path, tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    said = {
        state: subprocess.run(
            ["dash", module, state, tmp_path], capture_output=True, text=True, check=True
        ).stdout.strip()
        for state in ("NeedsArtifactReboot", "SupportsRollback", "Download", "ArtifactFailure", "Cleanup")
    }
    assert said == {
        "NeedsArtifactReboot": "No",
        "SupportsRollback": "Yes",
        "Download": "",
        "ArtifactFailure": "",
        "Cleanup": "",
    }
    assert subprocess.run([require_tool("shellcheck"), module], check=False).returncode == 0


def test_options_are_words(make_bundle: Make, package: Run, ec_key: Path) -> None:
    wrong: list[dict[str, Any]] = [
        {},
        {"device_types": []},
        {"device_types": ["a b"]},
        {"device_types": ["board"], "path": "/x/../y"},
        {"device_types": ["board"], "artifact_name": "a\nb"},
    ]
    for options in wrong:
        with pytest.raises(ConfigError) as raised:
            package(make_bundle(), "mender", options=options, signer=load_signer(str(ec_key)))
        assert raised.value.code == "invalid-package-option"
    with pytest.raises(ModelError) as unsafe:
        package(
            make_bundle(name="my $(net)"), "mender", options={"device_types": "board"}, signer=load_signer(str(ec_key))
        )
    assert unsafe.value.code == "name-unsafe"
