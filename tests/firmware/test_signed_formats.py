"""What holds for each format that update systems verify: keys, places, disks, interruptions, equal bytes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetool.errors import ConfigError, HostError, ModelError
from edgetool.exporters.package import Package
from edgetool.trust.keys import load_signer
from edgetool.trust.signer import Signer

Run = Callable[..., Package]
Make = Callable[..., Path]

OPTIONS: dict[str, dict[str, Any]] = {
    "swu": {"hardware": ["edgeboard:1.0"]},
    "mender": {"device_types": ["board"]},
    "rauc": {"compatible": "board"},
}
FORMATS = pytest.mark.parametrize("name", OPTIONS)


@pytest.fixture(params=["rsa", "ec"])
def signer(
    request: pytest.FixtureRequest, rsa_key: Path, certificate: Path, ec_key: Path, ec_certificate: Path
) -> Signer:
    key, chain = {"rsa": (rsa_key, certificate), "ec": (ec_key, ec_certificate)}[request.param]
    return load_signer(str(key), certificate=chain)


@FORMATS
def test_equal_bundles_give_equal_bytes(
    make_bundle: Make, package: Run, signer: Signer, name: str, tmp_path: Path
) -> None:
    """In other folders, at other times, under another umask."""
    bundle = make_bundle(files={"e.bin": 400_000})
    copy = Path(shutil.copytree(bundle, tmp_path / "elsewhere" / bundle.name))
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
    first = package(bundle, name, options=OPTIONS[name], signer=signer)
    before = os.umask(0o077)
    try:
        second = package(copy, name, options=OPTIONS[name], signer=signer, output=tmp_path / "again")
    finally:
        os.umask(before)
    assert first.facts["deterministic"] is True
    assert first.path.read_bytes() == second.path.read_bytes()


@FORMATS
def test_a_key_is_needed(make_bundle: Make, package: Run, name: str) -> None:
    with pytest.raises(ConfigError) as raised:
        package(make_bundle(), name, options=OPTIONS[name])
    assert raised.value.code == "key-missing"


@pytest.mark.parametrize("name", ["swu", "rauc"])
def test_a_certificate_is_needed(make_bundle: Make, package: Run, name: str, rsa_key: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        package(make_bundle(), name, options=OPTIONS[name], signer=load_signer(str(rsa_key)))
    assert raised.value.code == "certificate-missing"


@FORMATS
def test_what_the_device_compares_must_be_said(make_bundle: Make, package: Run, name: str, ec_key: Path) -> None:
    with pytest.raises(ConfigError, match=next(iter(OPTIONS[name]))) as raised:
        package(make_bundle(), name, signer=load_signer(str(ec_key)))
    assert raised.value.code == "invalid-package-option"


@FORMATS
@pytest.mark.parametrize("model", ["my net", 'a"b', "$(reboot)", "two\nlines", "größe", "-rf", "..", "a'b", "a/b"])
def test_names_that_a_shell_would_take_otherwise_are_refused(
    make_bundle: Make, package: Run, name: str, model: str, ec_key: Path, ec_certificate: Path
) -> None:
    bundle = make_bundle(changes={"name": model})
    with pytest.raises(ModelError) as raised:
        package(bundle, name, options=OPTIONS[name], signer=load_signer(str(ec_key), certificate=ec_certificate))
    assert raised.value.code == "name-unsafe"


@FORMATS
def test_a_package_that_is_there_is_replaced_only_on_request(
    make_bundle: Make, package: Run, name: str, ec_key: Path, ec_certificate: Path
) -> None:
    signer = load_signer(str(ec_key), certificate=ec_certificate)
    bundle = make_bundle()
    path = package(bundle, name, options=OPTIONS[name], signer=signer).path
    path.write_text("mine")
    with pytest.raises(ConfigError) as raised:
        package(bundle, name, options=OPTIONS[name], signer=signer)
    assert (raised.value.code, path.read_text()) == ("package-exists", "mine")
    package(bundle, name, options=OPTIONS[name], signer=signer, overwrite=True)
    assert path.stat().st_size > 1000


@FORMATS
@pytest.mark.parametrize("size", ["600k", "1600k"])  # the second one is full in a later step of RAUC's
def test_a_full_disk_leaves_nothing(
    make_bundle: Make,
    package: Run,
    name: str,
    size: str,
    ec_key: Path,
    ec_certificate: Path,
    small_disk: Callable[[str], Path],
) -> None:
    disk = small_disk(size)
    signer = load_signer(str(ec_key), certificate=ec_certificate)
    with pytest.raises(HostError) as raised:
        package(
            make_bundle(files={"e.bin": 700_000, "f.bin": 700_000 if name == "rauc" else 1_000_000}),
            name,
            options=OPTIONS[name],
            signer=signer,
            output=disk,
        )
    assert raised.value.code == "disk-full"
    assert list(disk.iterdir()) == []


@pytest.mark.slow
@FORMATS
def test_what_a_killed_process_left_is_cleared_by_the_next_one(
    make_bundle: Make, package: Run, name: str, ec_key: Path, ec_certificate: Path, tmp_path: Path
) -> None:
    bundle = make_bundle(files={"e.bin": 60_000_000})
    output = tmp_path / "packages"
    options = [f"--option={name}.{key}={','.join(value) if isinstance(value, list) else value}"
               for key, value in OPTIONS[name].items()]  # fmt: skip
    command = [sys.executable, "-m", "edgetool", "package", bundle, "--format", name, "--output", output, *options]
    process = subprocess.Popen([*command, "--key", ec_key, "--certificate", ec_certificate])
    while process.poll() is None and not list(output.glob(".*/*")):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was done before it could be killed"
    assert not [path for path in output.iterdir() if not path.name.startswith(".")]
    done = package(
        bundle, name, options=OPTIONS[name], signer=load_signer(str(ec_key), certificate=ec_certificate), output=output
    )
    assert list(output.iterdir()) == [done.path]
