"""`rauc`: read, extracted, installed and refused by RAUC."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgetool.bundle.read import read_bundle
from edgetool.errors import ConfigError, ModelError, UnavailableError
from edgetool.exporters.package import Package
from edgetool.trust.keys import load_signer
from edgetool.trust.signer import Signer
from edgetool_firmware.rauc.verity import BLOCK, hash_tree
from tests.firmware.credentials import Authority, make_authority
from tests.firmware.damage import damaged_copy
from tests.firmware.rauc_device import RaucDevice, running_device

Run = Callable[..., Package]
Make = Callable[..., Path]
Write = Callable[..., Path]
Rauc = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def signer(rsa_key: Path, certificate: Path) -> Signer:
    return load_signer(str(rsa_key), certificate=certificate)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the bundle goes on the device."""
    return tmp_path / "models" / "net"


@pytest.fixture
def raucb(package: Run, signer: Signer, place: Path) -> Write:
    def write(bundle: Path, **options: Any) -> Path:
        given = {"compatible": "board", "path": str(place), **options}
        return package(bundle, "rauc", options=given, signer=signer, overwrite=True).path

    return write


@pytest.fixture
def rauc(require_tool: Callable[[str], str], authority: Authority) -> Rauc:
    """`rauc COMMAND --keyring=ROOT ...`."""
    tool = require_tool("rauc")

    def run(command: str, *arguments: str | Path, root: Path = authority.root) -> subprocess.CompletedProcess[str]:
        whole = [tool, command, f"--keyring={root}", *map(str, arguments)]
        return subprocess.run(whole, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def device(authority: Authority, require_tool: Callable[[str], str]) -> Iterator[RaucDevice]:
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        pytest.skip("RAUC mounts bundles: only root may, and only with loop devices")
    with running_device(authority.root, require_tool) as found:
        yield found


@pytest.mark.parametrize("layout", ["verity", "plain"])
def test_a_real_bundle_is_read_and_extracted(
    bundle: Path, raucb: Write, rauc: Rauc, layout: str, tmp_path: Path
) -> None:
    path = raucb(bundle, layout=layout, description="a model")
    done = rauc("info", "--output-format=json", path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["compatible"], said["version"], said["description"]) == ("board", "1.0.0", "a model")
    assert rauc("extract", path, tmp_path / "out").returncode == 0
    (tmp_path / "model").mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "out" / "model.tar", "-C", tmp_path / "model"], check=True)
    assert read_bundle(tmp_path / "model" / "bundle").content_digest == read_bundle(bundle).content_digest


@pytest.mark.parametrize("layout", ["verity", "plain"])
@pytest.mark.parametrize("part", ["payload", "tree", "message", "length"])
def test_one_changed_byte_is_refused(
    make_bundle: Make, raucb: Write, rauc: Rauc, layout: str, part: str, tmp_path: Path
) -> None:
    path = raucb(make_bundle(files={"e.bin": 300_000}), layout=layout)
    data = path.read_bytes()
    message = int.from_bytes(data[-8:], "big")
    at = {"payload": 150_000, "tree": -8 - message - 1000, "message": -8 - message // 2, "length": -1}[part]
    assert rauc("extract", path, tmp_path / "whole").returncode == 0
    assert rauc("extract", damaged_copy(path, at=at), tmp_path / "out").returncode != 0


def test_another_authority_is_not_trusted(bundle: Path, raucb: Write, rauc: Rauc, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert rauc("info", raucb(bundle), root=make_authority(tmp_path / "other").root).returncode != 0


def test_an_ec_key_signs_too(
    bundle: Path, package: Run, rauc: Rauc, ec_key: Path, ec_certificate: Path, tmp_path: Path
) -> None:
    signer = load_signer(str(ec_key), certificate=ec_certificate)
    done = package(bundle, "rauc", options={"compatible": "board"}, signer=signer)
    assert rauc("extract", done.path, tmp_path / "out").returncode == 0


def test_an_image_for_a_slot_is_a_squashfs(
    make_bundle: Make, raucb: Write, rauc: Rauc, require_tool: Callable[[str], str], tmp_path: Path
) -> None:
    path = raucb(make_bundle(files={"größe $(x).bin": b"weights"}), install="slot", slot="nets", compression="xz")
    assert rauc("extract", path, tmp_path / "out").returncode == 0
    assert "[image.nets]" in (tmp_path / "out" / "manifest.raucm").read_text()
    subprocess.run(
        [require_tool("unsquashfs"), "-d", tmp_path / "image", tmp_path / "out" / "model.img"],
        capture_output=True,
        check=True,
    )
    assert read_bundle(tmp_path / "image" / "bundle").manifest.version == "1.2.0"
    assert (tmp_path / "image").stat().st_mode & 0o777 == 0o755


def test_hooks_are_clean(
    bundle: Path, raucb: Write, rauc: Rauc, require_tool: Callable[[str], str], tmp_path: Path
) -> None:
    for install in ("files", "slot"):
        rauc("extract", raucb(bundle, install=install), tmp_path / install)
        hook = tmp_path / install / "hook.sh"
        done = subprocess.run([require_tool("shellcheck"), hook], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_files_are_installed_beside_those_in_use(
    make_bundle: Make, raucb: Write, device: RaucDevice, place: Path
) -> None:
    for version in ("1.0.0", "2.0.0"):
        path = raucb(make_bundle(version=version, files={"e.onnx": version.encode()}), layout="plain")
        assert device.install(path).returncode == 0, device.log()
        assert (place / "model" / "e.onnx").read_text() == version
    assert len([row for row in place.parent.glob("net.d/*") if row.is_dir() and not row.is_symlink()]) == 2
    assert not list(place.parent.glob("net.d/incoming*"))


@pytest.mark.slow
def test_an_image_is_written_to_a_slot_and_checked_there(
    make_bundle: Make, raucb: Write, device: RaucDevice, tmp_path: Path
) -> None:
    path = raucb(make_bundle(), layout="plain", install="slot")
    assert device.install(path).returncode == 0, device.log()
    written = next(slot for slot in device.folder.glob("slot?") if slot.read_bytes()[:4] == b"hsqs")
    subprocess.run(["unsquashfs", "-d", tmp_path / "image", written], capture_output=True, check=True)
    assert read_bundle(tmp_path / "image" / "bundle").manifest.version == "1.2.0"
    assert "healthy" in device.log()


@pytest.mark.slow
def test_a_device_refuses_what_is_not_for_it_or_not_as_signed(
    make_bundle: Make, raucb: Write, device: RaucDevice, place: Path
) -> None:
    bundle = make_bundle(files={"e.bin": 300_000})
    assert device.install(raucb(bundle, layout="plain", compatible="another")).returncode != 0
    assert "Compatible mismatch" in device.log()
    assert device.install(damaged_copy(raucb(bundle, layout="plain"), at=150_000)).returncode != 0
    assert not place.exists()


@pytest.mark.slow
@pytest.mark.parametrize("install", ["files", "slot"])
def test_a_bundle_that_is_not_healthy_fails_the_installation(
    make_bundle: Make, raucb: Write, device: RaucDevice, place: Path, install: str
) -> None:
    (device.folder / "etc" / "compatibility").write_text("onnxruntime=1.99\n")
    assert device.install(raucb(make_bundle(), layout="plain", install=install)).returncode != 0
    assert "wrong-device" in device.log()
    assert not place.exists()
    mounted = Path("/proc/mounts").read_text()
    assert str(device.folder) not in mounted


def test_the_tree_is_that_of_the_kernels_documentation(tmp_path: Path) -> None:
    """By the definition, block by block; 129 blocks need a second level."""
    salt, data = b"salt" * 8, bytes(range(256)) * 16 * 129
    (tmp_path / "data").write_bytes(data)
    root, tree = hash_tree(tmp_path / "data", salt=salt)

    def level(lower: bytes) -> bytes:
        blocks = (lower[start : start + BLOCK] for start in range(0, len(lower), BLOCK))
        hashes = b"".join(hashlib.sha256(salt + block).digest() for block in blocks)
        return hashes + bytes(-len(hashes) % BLOCK)

    lowest = level(data)
    assert len(lowest) == 2 * BLOCK
    assert tree == level(lowest) + lowest
    assert root == hashlib.sha256(salt + level(lowest)).digest()


def test_mksquashfs_is_missing(bundle: Path, raucb: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="mksquashfs") as raised:
        raucb(bundle)
    assert (raised.value.code, raised.value.hint) == ("program-missing", "apt install squashfs-tools")


def test_a_time_that_the_user_fixed_does_not_disturb(
    bundle: Path, raucb: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = raucb(bundle).read_bytes()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234")
    assert raucb(bundle).read_bytes() == first


def test_options_and_names(make_bundle: Make, package: Run, signer: Signer) -> None:
    wrong: list[dict[str, Any]] = [
        {},
        {"compatible": ""},
        {"compatible": "a\n[hooks]"},
        {"compatible": "a", "slot": "a.b"},
        {"compatible": "a", "path": "/a b"},
        {"compatible": "a", "compression": "lzo"},
    ]
    for options in wrong:
        with pytest.raises(ConfigError) as raised:
            package(make_bundle(), "rauc", options=options, signer=signer)
        assert raised.value.code == "invalid-package-option"
    with pytest.raises(ModelError) as unsafe:
        package(make_bundle(name="$(net)"), "rauc", options={"compatible": "board"}, signer=signer)
    assert unsafe.value.code == "name-unsafe"


def test_a_description_is_one_value_whatever_it_says(make_bundle: Make, raucb: Write, rauc: Rauc) -> None:
    text = ' a\\nb; "quoted" [hooks] = größe'
    done = rauc("info", "--output-format=json", raucb(make_bundle(), description=text))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["description"] == text
