"""`edgetool-verify.pyz`: one file, any Python from 3.8 on, no package, and never a silent pass."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from edgetool.trust.keys import load_signer
from edgetool.trust.pyz import write_verifier
from edgetool.trust.signing import sign_bundle
from tests.trust.credentials import issue, private_pem, public_pem, write_private
from tests.trust.signed import OLDEST, by_library, by_program, oldest_python, sign_as

Cli = Callable[..., subprocess.CompletedProcess[str]]
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def public(tmp_path: Path) -> Path:
    path = tmp_path / "public.pem"
    path.write_bytes(public_pem(KEY))
    return path


@pytest.fixture
def signed(bundle: Path, tmp_path: Path) -> Path:
    sign_bundle(bundle, load_signer(str(write_private(tmp_path / "key.pem", private_pem(KEY)))))
    return bundle


def test_it_is_written_by_a_command_and_deterministic(tmp_path: Path, run_cli: Cli) -> None:
    done = run_cli("verify", "--write-verifier", tmp_path / "one.pyz")
    assert done.returncode == 0 and done.stdout == f"wrote {tmp_path / 'one.pyz'}\n", done.stderr
    os.utime(tmp_path)
    write_verifier(tmp_path / "two.pyz")
    assert (tmp_path / "one.pyz").read_bytes() == (tmp_path / "two.pyz").read_bytes()
    assert os.access(tmp_path / "one.pyz", os.X_OK)
    assert run_cli("verify", tmp_path, "--write-verifier", tmp_path / "one.pyz").returncode == 2
    refused = run_cli("verify", "--write-verifier", tmp_path / "no" / "folder.pyz")
    assert refused.returncode == 10 and "error[host-failed]" in refused.stderr


def test_its_code_is_the_code_of_edgetool(pyz: Path) -> None:
    """Nothing is copied by hand, compressed, or newer than the oldest Python can read."""
    import edgetool

    package = Path(edgetool.__file__).parent.parent
    with zipfile.ZipFile(pyz) as archive:
        for entry in archive.infolist():
            source = archive.read(entry)
            assert entry.compress_type == zipfile.ZIP_STORED
            assert entry.filename == "__main__.py" or source == (package / entry.filename).read_bytes()
            ast.parse(source, feature_version=OLDEST)


@pytest.mark.parametrize("flags", [["-I", "-S"], []])
def test_it_needs_the_standard_library_only(signed: Path, public: Path, pyz: Path, flags: list[str]) -> None:
    code = (
        "import runpy, sys\n"
        "before = set(sys.modules)\n"
        f"sys.argv = ['pyz', {str(signed)!r}, '--key', {str(public)!r}]\n"
        f"try: runpy.run_path({str(pyz)!r}, run_name='__main__')\n"
        "except SystemExit as end: print('exit', end.code)\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(name for name in new - set(sys.stdlib_module_names) if not name.startswith('_')))"
    )
    done = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.splitlines()[-2:] == ["exit 0", "['edgetool']"]


def test_the_oldest_python_here_comes_to_the_same_verdicts(
    signed: Path, public: Path, pyz: Path, tmp_path: Path
) -> None:
    check = by_program(pyz, oldest_python())
    good = check(signed, "--key", public)
    assert good.code == 0 and good.out == by_library(signed, "--key", public).out, good
    assert check(signed, "--key", public, "--json").code == 0
    assert check(signed, "--key", public, "--target", "other").code == 7
    root = issue("Root", authority=True)
    (tmp_path / "ca.pem").write_bytes(root.pem)
    assert "carries no certificate" in check(signed, "--ca", tmp_path / "ca.pem", "--at", "2030-01-31").err
    sign_as(signed, issue("Release", root))
    assert check(signed, "--ca", tmp_path / "ca.pem").code == 0
    assert check(signed, "--ca", tmp_path / "ca.pem", "--at", "2010-01-31").code == 7
    (signed / "manifest.json").write_text('{"schema_version": ' + "9" * (1 << 20) + "}")
    assert check(signed, "--key", public).code == 7
    (signed / "manifest.json").unlink()
    assert check(signed, "--key", public).code == 7


def test_without_openssl_nothing_is_checked_and_it_says_so(
    signed: Path, public: Path, pyz: Path, tmp_path: Path
) -> None:
    check = by_program(pyz, PATH=str(tmp_path / "nothing"))
    verdict = check(signed, "--key", public)
    assert (verdict.code, verdict.out) == (5, "")
    assert "error[signature-unchecked]" in verdict.err and "no program openssl" in verdict.err
    outcome = json.loads(check(signed, "--key", public, "--json").out)
    assert outcome["signature"]["status"] == "unchecked"
    (signed / "model/engine.onnx").write_text("damaged")
    assert check(signed, "--key", public).code == 7, "damage needs no openssl to be found"


@pytest.mark.parametrize(
    "script", ["exit 1", "echo OpenSSL 9.9; exit 1", "echo 'Verified OK'; kill -9 $$", "exec sleep 0"]
)
def test_an_openssl_that_does_not_work_never_passes(
    signed: Path, public: Path, pyz: Path, tmp_path: Path, script: str
) -> None:
    program = tmp_path / "bin" / "openssl"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    assert by_program(pyz, PATH=f"{program.parent}:{os.environ['PATH']}")(signed, "--key", public).code in (5, 7)


def test_without_a_place_for_temporary_files(signed: Path, public: Path, pyz: Path) -> None:
    verdict = by_program(pyz, python=sys.executable)(signed, "--key", public)
    assert verdict.code == 0
    code = (
        "import runpy, sys, tempfile\n"
        "def refuse(*_, **__): raise FileNotFoundError(2, 'no usable temporary folder')\n"
        "tempfile.mkdtemp = refuse\n"
        f"sys.argv = ['pyz', {str(signed)!r}, '--key', {str(public)!r}]\n"
        f"runpy.run_path({str(pyz)!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 5 and "no usable temporary folder" in done.stderr


@pytest.mark.parametrize(
    ("is_signed", "options", "on_device", "elsewhere"),
    [
        (False, [], 5, 0),  # on a device, a bundle passes only for a reason that was named
        (True, [], 5, 5),
        (False, ["--hashes-only"], 0, 0),
        (True, ["--hashes-only"], 0, 0),
        (False, ["--digest", "{digest}"], 0, 0),
        (True, ["--digest", "{digest}"], 0, 0),
        (True, ["--digest", "{digest}0"], 7, 7),
        (False, ["--key", "{public}"], 7, 7),
        (True, ["--key", "{public}"], 0, 0),
    ],
)
def test_what_passes_without_a_check_of_the_signature(
    bundle: Path, public: Path, pyz: Path, tmp_path: Path,
    is_signed: bool, options: list[str], on_device: int, elsewhere: int,
) -> None:  # fmt: skip
    signer = load_signer(str(write_private(tmp_path / "key.pem", private_pem(KEY))))
    digest = sign_bundle(bundle, signer).content_digest
    if not is_signed:
        bundle.with_name(bundle.name + ".sig").unlink()
    arguments = [option.format(digest=digest, public=public) for option in options]
    for verdict, code in (
        (by_program(pyz)(bundle, *arguments), on_device),
        (by_library(bundle, *arguments), elsewhere),
    ):
        assert verdict.code == code, verdict
        if code == 5:
            assert "signature not checked" in verdict.err and "--hashes-only" in verdict.err
        elif "--hashes-only" in arguments:
            assert "hashes only, signature not checked" in verdict.out
        elif not arguments:
            assert "not signed" in verdict.out


def test_cryptography_is_loaded_for_a_signature_and_for_nothing_else(signed: Path, public: Path) -> None:
    code = (
        "import sys; from edgetool.cli.entry import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: print('exit', end.code)\n"
        "names = {name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(name for name in names if not name.startswith('_')))"
    )

    def loaded(*arguments: str) -> list[str]:
        command = [sys.executable, "-I", "-c", code, "verify", str(signed), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-2:]

    without = subprocess.run(
        [sys.executable, "-I", "-c", code.replace("main(sys.argv[1:])", "pass")],
        capture_output=True,
        text=True,
        check=True,
    )
    base = set(ast.literal_eval(without.stdout.splitlines()[-1]))
    code_, names = loaded("--hashes-only")
    assert code_ == "exit 0" and set(ast.literal_eval(names)) - base == set()
    code_, names = loaded("--key", str(public))
    assert code_ == "exit 0" and set(ast.literal_eval(names)) - base == {"cryptography"}


def test_edgetool_itself_falls_back_on_openssl(signed: Path, public: Path) -> None:
    """Without the package cryptography, `edgetool verify` asks the program."""
    code = "import sys; sys.modules['cryptography'] = None\nfrom edgetool.cli.entry import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "verify", str(signed), "--key", str(public), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["signature"]["checked_by"].startswith("OpenSSL")


def test_names_and_places_that_need_care(signed: Path, public: Path, pyz: Path, tmp_path: Path) -> None:
    odd = signed.rename(signed.with_name("a b$(touch x)'\"é\n.edgebundle"))
    signed.with_name(signed.name + ".sig").rename(odd.with_name(odd.name + ".sig"))
    check = by_program(pyz, LC_ALL="C")
    assert check(odd, "--key", public).code == 0
    (tmp_path / "current").symlink_to(odd)
    assert "there is no signature" in check(tmp_path / "current", "--key", public).err
    (tmp_path / "current.sig").symlink_to(odd.with_name(odd.name + ".sig"))
    assert check(tmp_path / "current", "--key", public).code == 0
    assert check(tmp_path / "nothing", "--key", public).code == 2


def test_a_huge_file_of_the_wrong_size_is_not_read(signed: Path, public: Path, pyz: Path) -> None:
    with (signed / "model/engine.onnx").open("r+b") as file:
        file.truncate(1 << 40)
    verdict = by_program(pyz)(signed, "--key", public)
    assert verdict.code == 7 and "1099511627776 bytes" in verdict.err


def test_the_digest_in_the_manual_is_the_one_that_is_printed(signed: Path, public: Path) -> None:
    lines = sorted(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(signed).as_posix()}\n".encode()
        for path in signed.rglob("*")
        if path.is_file() and path.name != "measurements.json"
    )
    assert hashlib.sha256(b"".join(lines)).hexdigest() in by_library(signed, "--key", public).out
