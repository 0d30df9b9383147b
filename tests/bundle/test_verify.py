"""Bundles that somebody changed, in every way we can think of, and some that hypothesis can."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgetool.bundle import verify as module
from edgetool.bundle.read import read_bundle
from edgetool.bundle.verify import content_digest, path_fault, verify
from edgetool.bundle.write import write_bundle
from edgetool.errors import ConfigError, IntegrityError
from edgetool.trust.verifier import main

from .samples import contents  # noqa: TID252 # tests are no package to import from


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "net.edgebundle", contents(tmp_path)).path


def edit_manifest(bundle: Path, change: Callable[[dict], object]) -> None:
    path = bundle / "manifest.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def kinds(bundle: Path) -> set[str]:
    return {fault.kind for fault in verify(bundle).faults}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_every_single_flipped_byte_is_found(bundle: Path) -> None:
    for path in sorted(p for p in bundle.rglob("*") if p.is_file() and p.name != "measurements.json"):
        before = path.read_bytes()
        flip(path)
        outcome = verify(bundle)
        assert not outcome.sound, path
        path.write_bytes(before)
    assert verify(bundle).sound


@pytest.mark.parametrize(
    ("damage", "kind", "message"),
    [
        (lambda b: (b / "model/engine.onnx").unlink(), "missing", "does not hold it"),
        (lambda b: (b / "model/extra.bin").write_text("x"), "extra", "does not list"),
        (lambda b: (b / "model/engine.onnx").write_text("longer than before"), "changed", "18 bytes, recorded are 8"),
        (lambda b: flip(b / "model/engine.onnx"), "changed", "sha256"),
        (lambda b: (b / "model/link").symlink_to("/etc/passwd"), "unsafe", "symbolic link"),
        (lambda b: (b / "model/hard").hardlink_to(b / "model/engine.onnx"), "unsafe", "hard link"),
        (lambda b: os.mkfifo(b / "model/pipe"), "unsafe", "pipe"),
        (lambda b: (b / "manifest.json").unlink(), "manifest", "No such file"),
        (lambda b: (b / "manifest.json").write_text(""), "manifest", "not valid JSON"),
        (lambda b: (b / "manifest.json").write_bytes(b"\xff\xfe"), "manifest", "not UTF-8"),
        (lambda b: (b / "manifest.json").write_text("[" * 100_000), "manifest", "nested too deep"),
        (lambda b: (b / "manifest.json").write_text('{"files": [], "files": []}'), "manifest", "occurs twice"),
        (lambda b: (b / "manifest.json").write_text('{"schema_version": NaN}'), "manifest", "NaN is no JSON"),
        (lambda b: (b / "manifest.json").write_text("9" * 9999), "manifest", "not valid JSON"),
        (lambda b: (b / "manifest.json").write_text("[]"), "manifest", "not a JSON object"),
        (lambda b: edit_manifest(b, lambda m: m.update(schema_version=2)), "manifest", "this program knows 1"),
        (lambda b: edit_manifest(b, lambda m: m.update(schema_version=True)), "manifest", "this program knows 1"),
        (lambda b: edit_manifest(b, lambda m: m.update(files={})), "manifest", "not a list"),
        (lambda b: edit_manifest(b, lambda m: m["files"].append(7)), "manifest", "not an object"),
        (lambda b: edit_manifest(b, lambda m: m["files"].append(m["files"][0])), "manifest", "listed twice"),
        (lambda b: edit_manifest(b, lambda m: m["files"][0].update(size=-1)), "manifest", "whole number"),
        (lambda b: edit_manifest(b, lambda m: m["files"][0].update(size=True)), "manifest", "whole number"),
        (lambda b: edit_manifest(b, lambda m: m["files"][0].update(sha256="x" * 64)), "manifest", "hex digits"),
        (lambda b: edit_manifest(b, lambda m: m["files"][0].update(path="../../etc/passwd")), "unsafe", "relative"),
        (lambda b: edit_manifest(b, lambda m: m["files"][0].update(path="/etc/passwd")), "unsafe", "relative"),
        (lambda b: edit_manifest(b, lambda m: m["files"][0].update(path="manifest.json")), "manifest", "cannot be"),
        (lambda b: edit_manifest(b, lambda m: m.update(name="other")), "digest", "records content digest"),
        (lambda b: (b / "reports/measurements.json").write_text("{}"), "digest", "None"),
        (lambda b: (b / "reports/measurements.json").write_text("x"), "digest", "not valid JSON"),
    ],
)  # fmt: skip
def test_each_kind_of_damage_is_named(bundle: Path, damage: Callable[[Path], object], kind: str, message: str) -> None:
    damage(bundle)
    faults = verify(bundle).faults
    assert any(fault.kind == kind and message in fault.message for fault in faults), faults
    assert main([str(bundle), "--quiet"]) == 7
    with pytest.raises(IntegrityError) as caught:
        read_bundle(bundle)
    assert caught.value.exit_code == 7


def test_all_faults_are_told_at_once(bundle: Path) -> None:
    (bundle / "model/engine.onnx").unlink()
    (bundle / "io/extra").write_text("x")
    flip(bundle / "reports/validation.json")
    assert kinds(bundle) == {"missing", "extra", "changed"}


def test_a_linked_manifest_or_folder_is_not_followed(bundle: Path, tmp_path: Path) -> None:
    shutil.copy(bundle / "manifest.json", tmp_path / "manifest.json")
    (bundle / "manifest.json").unlink()
    (bundle / "manifest.json").symlink_to(tmp_path / "manifest.json")
    assert kinds(bundle) >= {"unsafe", "manifest"}
    (bundle / "manifest.json").unlink()
    shutil.copy(tmp_path / "manifest.json", bundle / "manifest.json")
    (bundle / "model").rename(tmp_path / "model")
    (bundle / "model").symlink_to(tmp_path / "model")
    assert kinds(bundle) == {"unsafe", "missing"}


def test_oversized_and_sparse_files_are_not_read(bundle: Path) -> None:
    with (bundle / "model/engine.onnx").open("r+b") as handle:
        handle.truncate(1 << 40)
    assert kinds(bundle) == {"changed"}
    with (bundle / "manifest.json").open("r+b") as handle:
        handle.truncate(1 << 40)
    assert "larger than 16 MiB" in verify(bundle).faults[0].message


def test_too_many_files_end_the_walk(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 12)
    for i in range(20):
        (bundle / f"{i}").write_text("")
    assert any("no more than 12 files" in fault.message for fault in verify(bundle).faults)


def test_an_expected_digest_catches_a_forged_but_consistent_bundle(bundle: Path, tmp_path: Path) -> None:
    honest = verify(bundle).content_digest
    forged = write_bundle(tmp_path / "forged", contents(tmp_path / "x", precision="float16")).path
    assert verify(forged).sound
    assert not verify(forged, digest=honest).sound
    assert main([str(forged), "--digest", str(honest)]) == 7
    assert main([str(bundle), "--digest", str(honest)]) == 0


def test_a_bundle_without_measurements_is_sound(bundle: Path) -> None:
    (bundle / "reports/measurements.json").unlink()
    assert verify(bundle).sound


def test_no_bundle_is_a_mistake_of_the_user(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nothing")]) == 2
    assert "bundle-not-found" in capsys.readouterr().err
    with pytest.raises(ConfigError):
        read_bundle(tmp_path / "nothing")


def test_names_cannot_steer_the_terminal(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bundle / "\x1b[2Jgone\n\udcff").write_text("x")
    assert main([str(bundle)]) == 7
    error = capsys.readouterr().err
    assert "\x1b" not in error
    assert "\\x1b[2Jgone\\n" in error


def test_it_imports_nothing_beyond_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import edgetool.bundle.verify\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['edgetool']"


@given(st.text())
def test_paths_that_pass_stay_inside(path: str) -> None:
    if path_fault(path) is None:
        assert os.path.normpath(os.path.join("/bundle", path)) == "/bundle/" + path  # noqa: PTH118
        path.encode()


@given(st.dictionaries(st.text(min_size=1), st.text("0123456789abcdef", min_size=64, max_size=64)))
def test_the_digest_does_not_depend_on_order_and_tells_contents_apart(hashes: dict[str, str]) -> None:
    hashes = {path: value for path, value in hashes.items() if path_fault(path) is None}
    backwards = dict(reversed(hashes.items()))
    assert content_digest(hashes) == content_digest(backwards)
    assert content_digest({**hashes, "one/more": "0" * 64}) != content_digest(hashes) or "one/more" in hashes


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
ROW = st.fixed_dictionaries({}, optional={"path": JSON, "size": JSON, "sha256": JSON}) | JSON


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(), JSON, max_size=3), st.lists(ROW, max_size=4) | JSON)
def test_no_manifest_makes_it_crash(bundle: Path, others: dict, rows: object) -> None:
    (bundle / "manifest.json").write_text(json.dumps({**others, "schema_version": 1, "files": rows}))
    assert not verify(bundle).sound
    with pytest.raises(IntegrityError):
        read_bundle(bundle)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_no_bytes_make_it_crash(bundle: Path, data: bytes) -> None:
    (bundle / "manifest.json").write_bytes(data)
    assert not verify(bundle).sound
