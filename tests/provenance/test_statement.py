"""The provenance: an in-toto statement that says all that decided the engine, and nothing of the machine."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import in_toto_attestation.predicates.provenance.v1.provenance_pb2 as provenance_pb2
import in_toto_attestation.v1.statement_pb2 as statement_pb2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.json_format import ParseDict, ParseError
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from edgetool.bundle.provenance import PROVENANCE, read_statement
from edgetool.bundle.read import read_bundle
from edgetool.bundle.verify import MANIFEST
from edgetool.bundle.write import write_bundle
from edgetool.errors import IntegrityError
from tests.bundle.samples import contents
from tests.provenance.built import build, copied, edgetool, edited, forge, write_project

ODD = (
    b'{"predicate": {"buildDefinition": {"externalParameters": {}, "internalParameters": {"steps": []},'
    b' "resolvedDependencies": [{"name": 5}]}}}'
)


def check(document: Any) -> Any:
    """As in-toto's own libraries read it; they refuse fields that they do not know."""
    Statement.copy_from_pb(ParseDict(document, statement_pb2.Statement())).validate()
    return ParseDict(document["predicate"], provenance_pb2.Provenance())


@pytest.fixture(scope="module")
def told(built: Path) -> Any:
    return json.loads((built / PROVENANCE).read_bytes())


def test_in_toto_accepts_the_statement_of_a_real_build(told: Any) -> None:
    assert check(told).build_definition.build_type.endswith("provenance.md#build-type-1")
    told_more = json.loads(json.dumps(told))
    told_more["predicate"]["buildDefinition"]["moreover"] = 1
    with pytest.raises(ParseError):
        check(told_more)


def test_its_subjects_are_the_engines_files(built: Path, told: Any) -> None:
    wanted = {row.path: row.sha256 for row in read_bundle(built).manifest.files if row.role == "model"}
    assert {row["name"]: row["digest"]["sha256"] for row in told["subject"]} == wanted


def test_it_names_sources_data_tools_and_every_pass_with_its_options(built: Path, told: Any) -> None:
    manifest = read_bundle(built).manifest
    definition = told["predicate"]["buildDefinition"]
    rows = {row["name"]: row for row in definition["resolvedDependencies"]}
    assert rows["model.onnx"]["digest"]["sha256"] == manifest.source.sha256
    assert manifest.calibration is not None
    assert rows["calibration data"]["digest"]["sha256"] == manifest.calibration.digest
    assert {f"calib/{index:02}.npz" for index in range(6)} <= rows.keys()
    assert {f"eval/{index:02}.npz" for index in range(4)} <= rows.keys()
    for name, version in manifest.tools.items():
        assert rows[name]["uri"].endswith(f"/{name}@{version}".replace("+", "%2B"))
    inside = definition["internalParameters"]
    assert [row["name"] for row in inside["passes"]] == ["simplify", "quantize-static"]
    assert inside["passes"][1]["options"]["per_channel"] is True
    assert [row["name"] for row in inside["steps"]] == [
        "import", "calibration-data", "simplify", "quantize-static", "build",
    ]  # fmt: skip
    asked = definition["externalParameters"]
    assert (asked["target"], asked["recipe"], asked["source"]) == ("ort", "int8", "model.onnx")


def test_it_does_not_tell_where_or_when(built: Path, told: Any, tmp_path: Path) -> None:
    text = json.dumps(told)
    assert str(built.parent.parent) not in text
    assert "metadata" not in told["predicate"]["runDetails"]
    project = write_project(tmp_path / "elsewhere")
    outside = tmp_path / "outside"
    shutil.move(project / "calib", outside)
    targets = project / "targets.toml"
    targets.write_text(targets.read_text().replace('"calib"', f'"{outside}"'))
    dated = (build(project, date="1700000000") / PROVENANCE).read_text()
    assert str(tmp_path) not in dated
    assert json.loads(dated)["predicate"]["runDetails"]["metadata"] == {"finishedOn": "2023-11-14T22:13:20Z"}


def test_a_bundle_that_no_build_wrote_has_one_too(tmp_path: Path) -> None:
    written = write_bundle(tmp_path / "n.edgebundle", contents(tmp_path))
    told = json.loads((written.path / PROVENANCE).read_bytes())
    check(told)
    assert told["predicate"]["buildDefinition"]["internalParameters"]["steps"] == []


def test_what_is_no_statement_is_refused(built: Path, tmp_path: Path) -> None:
    for number, text in enumerate((b"nonsense", b"[]", b"{}", b'{"predicate": 1}', b"[" * 5000, ODD)):
        folder = tmp_path / str(number)
        bundle = forge(copied(built, folder), {PROVENANCE: lambda data, text=text: text})
        with pytest.raises(IntegrityError, match="no statement"):
            read_statement(read_bundle(bundle))


def test_an_old_bundle_has_none(built: Path, tmp_path: Path) -> None:
    bundle = copied(built, tmp_path)
    (bundle / PROVENANCE).unlink()
    assert read_statement(read_bundle(forge(bundle, {}))) is None


def pair(folder: Path, curve: ec.EllipticCurve) -> tuple[Path, SSlibKey]:
    key = ec.generate_private_key(curve)
    path = folder / "key.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    path.chmod(0o600)
    return path, SSlibKey.from_crypto(key.public_key())


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()], ids=lambda curve: curve.name)
def test_signing_attests_the_same_bytes(built: Path, tmp_path: Path, curve: ec.EllipticCurve) -> None:
    bundle = copied(built, tmp_path)
    path, public = pair(tmp_path, curve)
    done = edgetool(tmp_path, "sign", bundle, "--key", path, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    attestation = Path(result["provenance"])
    assert attestation == tmp_path / f"{bundle.name}.provenance.intoto.json"
    document = json.loads(attestation.read_bytes())
    assert base64.b64decode(document["payload"]) == (bundle / PROVENANCE).read_bytes()
    public.keyid = result["key"]
    Envelope.from_dict(json.loads(attestation.read_bytes())).verify([public], 1)
    changed = base64.b64decode(document["payload"]).replace(b"tiny", b"huge")
    document["payload"] = base64.b64encode(changed).decode()
    with pytest.raises(VerificationError):
        Envelope.from_dict(document).verify([public], 1)


def test_a_bundle_without_a_statement_is_signed_all_the_same(built: Path, tmp_path: Path) -> None:
    bundle = copied(built, tmp_path)
    (bundle / PROVENANCE).unlink()
    forge(bundle, {MANIFEST: edited(lambda manifest: None)})
    path, _ = pair(tmp_path, ec.SECP256R1())
    done = edgetool(tmp_path, "sign", bundle, "--key", path, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["provenance"] is None
