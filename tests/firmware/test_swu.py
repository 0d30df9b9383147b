"""`swu`: accepted, installed and refused by SWUpdate."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetool.bundle.read import read_bundle
from edgetool.errors import ConfigError, ModelError
from edgetool.exporters.package import Package
from edgetool.trust.keys import load_signer
from edgetool.trust.signer import Signer
from edgetool_firmware.swu.cpio import Cpio
from tests.firmware.credentials import Authority, make_authority
from tests.firmware.damage import damaged_copy
from tests.firmware.swupdate import SwUpdate

Run = Callable[..., Package]
Make = Callable[..., Path]


@pytest.fixture
def signer(rsa_key: Path, certificate: Path) -> Signer:
    return load_signer(str(rsa_key), certificate=certificate)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the bundle goes on the device."""
    return Path("/" + str(tmp_path / "models" / "net").strip("/"))


@pytest.fixture
def swu(package: Run, signer: Signer, place: Path) -> Callable[..., Path]:
    def write(bundle: Path, **options: Any) -> Path:
        given = {"hardware": ["edgeboard:1.0"], "path": str(place), **options}
        return package(bundle, "swu", options=given, signer=signer, overwrite=True).path

    return write


@pytest.fixture
def swupdate(require_tool: Callable[[str], str], authority: Authority, tmp_path: Path) -> SwUpdate:
    return _device(require_tool("swupdate"), authority, tmp_path / "etc")


def _device(tool: str, authority: Authority, etc: Path) -> SwUpdate:
    """SWUpdate does not look for intermediates in the message: the device has the whole chain."""
    chain = authority.folder / "device.pem"
    chain.write_bytes(authority.root.read_bytes() + authority.intermediate.read_bytes())
    etc.mkdir()
    return SwUpdate(tool, chain, etc)


def test_a_real_bundle_is_installed(bundle: Path, swu: Callable[..., Path], swupdate: SwUpdate, place: Path) -> None:
    bundle.with_name(bundle.name + ".sig").write_text("signed")
    image = swu(bundle)
    assert swupdate.check(image) is None
    assert not place.parent.exists()
    assert swupdate.install(image) is None
    assert read_bundle(place.resolve()).content_digest == read_bundle(bundle).content_digest
    assert place.with_name("net.sig").read_text() == "signed"
    assert (place / "manifest.json").stat().st_mode & 0o777 == 0o644
    assert not list(place.parent.glob("net.d/incoming-*"))


def test_an_update_takes_the_place_and_the_old_one_stays_for_rollback(
    make_bundle: Make, swu: Callable[..., Path], swupdate: SwUpdate, place: Path
) -> None:
    for version in ("1.0.0", "1.1.0"):
        assert swupdate.install(swu(make_bundle(version=version, files={"e.onnx": version.encode()}))) is None
        assert (place / "model" / "e.onnx").read_text() == version
    done = subprocess.run(["sh", f"{place}.d/edgetool-switch", "rollback", place], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (place / "model" / "e.onnx").read_text() == "1.0.0"


def test_what_a_cut_off_update_left_behind_does_not_matter(
    make_bundle: Make, swu: Callable[..., Path], swupdate: SwUpdate, place: Path
) -> None:
    left = place.with_name("net.d") / "incoming-0123456789abcdef" / "bundle"
    left.mkdir(parents=True)
    (left / "half").write_text("of a file")
    assert swupdate.install(swu(make_bundle())) is None
    assert read_bundle(place.resolve()).manifest.version == "1.2.0"
    assert not left.exists()


def test_a_bundle_that_is_not_healthy_is_not_taken_into_use(
    make_bundle: Make, swu: Callable[..., Path], swupdate: SwUpdate, place: Path
) -> None:
    assert swupdate.install(swu(make_bundle(version="1.0.0"))) is None
    (swupdate.etc / "compatibility").write_text("onnxruntime=1.99\n")
    said = swupdate.install(swu(make_bundle(version="2.0.0"))) or ""
    assert "wrong-device" in said
    assert read_bundle(place.resolve()).manifest.version == "1.0.0"
    assert not list(place.parent.glob("net.d/incoming-*"))


def test_names_of_files_are_taken_literally(
    make_bundle: Make, swu: Callable[..., Path], swupdate: SwUpdate, place: Path
) -> None:
    names = ["my engine.onnx", 'a"b.bin', "$(touch x).bin", "größe.bin", "it's;.bin", "#c.bin", "@include x.bin"]
    bundle = make_bundle(files=dict.fromkeys(names, b"content"))
    assert swupdate.install(swu(bundle)) is None
    assert sorted(path.name for path in (place / "model").iterdir()) == sorted(names)


@pytest.mark.parametrize("board", ["edgeboard:1.1", "edgeboard:1.0.0", "board:1.0", "other:1.0"])
def test_other_boards_refuse_it(bundle: Path, swu: Callable[..., Path], swupdate: SwUpdate, board: str) -> None:
    assert swupdate.check(swu(bundle, hardware=["edgeboard:1.0", "other:7"]), board) is not None


@pytest.mark.slow
def test_each_board_and_each_revision_that_is_named_takes_it(
    bundle: Path, swu: Callable[..., Path], swupdate: SwUpdate
) -> None:
    hardware = ["edgeboard:1.0", "edgeboard:rev+B", "other-board:2"]
    image = swu(bundle, hardware=hardware)
    assert [swupdate.check(image, board) for board in hardware] == [None, None, None]


def test_one_changed_byte_is_refused(bundle: Path, swu: Callable[..., Path], swupdate: SwUpdate, place: Path) -> None:
    image = swu(bundle)
    engine = read_bundle(bundle).manifest.entry
    changed = damaged_copy(image, within=(bundle / engine).read_bytes()[:200])
    assert swupdate.install(changed) is not None
    assert not place.exists()
    for place_in_file, reason in ((b"software = {", "description"), (b"take_over() {", "script")):
        assert swupdate.check(damaged_copy(image, within=place_in_file)) is not None, reason


def test_another_signer_is_refused(bundle: Path, swu: Callable[..., Path], swupdate: SwUpdate, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    stranger = _device(swupdate.tool, make_authority(tmp_path / "other"), tmp_path / "strange")
    assert stranger.check(swu(bundle)) is not None


def test_an_ec_key_signs_too(
    bundle: Path, package: Run, swupdate: SwUpdate, ec_key: Path, ec_certificate: Path
) -> None:
    signer = load_signer(str(ec_key), certificate=ec_certificate)
    done = package(bundle, "swu", options={"hardware": "edgeboard:1.0"}, signer=signer)
    assert swupdate.check(done.path) is None
    assert done.facts["path"] == "/var/lib/edgetool/models/tiny"


@pytest.mark.slow
def test_code_signing_is_a_purpose_of_its_own(
    bundle: Path, package: Run, swupdate: SwUpdate, rsa_key: Path, authority: Authority
) -> None:
    from cryptography.x509.oid import ExtendedKeyUsageOID

    certificate = authority.certify(rsa_key, "swu-code", usages=[ExtendedKeyUsageOID.CODE_SIGNING])
    signer = load_signer(str(rsa_key), certificate=certificate)
    with pytest.raises(ConfigError) as raised:
        package(bundle, "swu", options={"hardware": "edgeboard:1.0"}, signer=signer)
    assert raised.value.code == "certificate-purpose"
    done = package(bundle, "swu", options={"hardware": "edgeboard:1.0", "purpose": "codeSigning"}, signer=signer)
    assert swupdate.check(done.path, "edgeboard:1.0", "--cert-purpose", "codeSigning") is None
    assert swupdate.check(done.path) is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("condition", "installed", "wanted"),
    [
        ("different", "1.2.0", False),
        ("different", "1.1.0", True),
        ("higher", "1.3.0", False),
        ("higher", "1.1.0", True),
    ],
)
def test_a_version_that_is_there_already_is_not_installed_again(
    make_bundle: Make,
    swu: Callable[..., Path],
    swupdate: SwUpdate,
    place: Path,
    tmp_path: Path,
    condition: str,
    installed: str,
    *,
    wanted: bool,
) -> None:
    (tmp_path / "swupdate.cfg").write_text(
        f'globals : {{ }};\nversions : ( {{ name = "net"; version = "{installed}"; }} );\n'
    )
    image = swu(make_bundle(), install_if=condition)
    assert swupdate.install(image, "edgeboard:1.0", "-f", tmp_path / "swupdate.cfg") is None
    assert place.exists() == wanted


def test_what_is_too_large_or_too_long_is_refused(
    make_bundle: Make, package: Run, signer: Signer, swu: Callable[..., Path]
) -> None:
    with pytest.raises(ModelError, match="path of more than 255 bytes") as raised:
        swu(make_bundle(files={"x" * 200: b"engine"}))
    assert raised.value.code == "not-packageable"
    for hardware in ([], ["edgeboard"], ["edge board:1"], ["files:1"], ["a:1\nb"], [":1"]):
        with pytest.raises(ConfigError) as wrong:
            package(make_bundle(), "swu", options={"hardware": hardware}, signer=signer)
        assert wrong.value.code == "invalid-package-option"


def test_cpio_reads_it(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * 10_000 + b"odd")
    with (tmp_path / "a.cpio").open("wb") as file, Cpio(file, created=1_700_000_000) as archive:
        archive.add_bytes("first", b"123")
        archive.add_file("second", large)
        archive.add_bytes("empty", b"")
    (tmp_path / "out").mkdir()
    with (tmp_path / "a.cpio").open("rb") as file:
        command = [require_tool("cpio"), "--extract", "--preserve-modification-time", "--no-absolute-filenames"]
        done = subprocess.run(command, stdin=file, cwd=tmp_path / "out", capture_output=True, text=True, check=True)
    assert "checksum" not in done.stderr
    digests = [hashlib.sha256((tmp_path / "out" / name).read_bytes()).digest() for name in ("first", "second", "empty")]
    assert digests == [hashlib.sha256(data).digest() for data in (b"123", large.read_bytes(), b"")]
    assert (tmp_path / "out" / "first").stat().st_mtime == 1_700_000_000
    assert (tmp_path / "a.cpio").stat().st_size % 512 == 0
