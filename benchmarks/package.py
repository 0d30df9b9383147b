"""What packaging takes: `python -m benchmarks.package [FORMAT ...]`.

A real bundle of 95 MB goes into every format, and its files through the tool that the format comes from. `writing` is
what the exporter does, in a process that runs already; the command `edgetool package` also starts Python and checks
every byte of the bundle first, as it always does.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.project import write_project
from benchmarks.timing import Run, report
from edgetool.bundle.read import Bundle, read_bundle
from edgetool.exporters.package import open_exporter
from edgetool.exporters.package import package as write_package
from edgetool.plugin.manager import load_plugins
from edgetool.trust.keys import load_signer

LIMIT = 1.5
_ROUNDS = 3
_CHANNELS, _SIZE = (3, 128, 1024, 1152, 1152), 16


@dataclass(frozen=True, slots=True)
class Payload:
    """What all contestants get.

    Attributes:
        bundle: checked; its files are at `bundle.path`.
        scratch: folder for whatever a contestant needs, cleared before each run.
        key, certificate: RSA, for formats that are signed.
    """

    bundle: Bundle
    scratch: Path
    key: Path
    certificate: Path


@dataclass(frozen=True, slots=True)
class Row:
    """A format against its native tool.

    Attributes:
        format: name of the exporter.
        native: the tool, as the table calls it.
        prepare: makes in `scratch` what the tool wants to find there; not timed.
        command: the tool's command line, run in `scratch`; what it writes is called `native`.
        options: of the exporter.
        signed: whether it takes the key.
    """

    format: str
    native: str
    prepare: Callable[[Payload], object]
    command: Callable[[Payload], Sequence[str]]
    options: Mapping[str, Any] = field(default_factory=dict)
    signed: bool = False


def _nothing(payload: Payload) -> None:
    """For tools that take the bundle as it lies there."""


def _debian_tree(payload: Payload) -> None:
    tree = payload.scratch / "tree"
    shutil.copytree(payload.bundle.path, tree / "usr/share/edgetool/models/cnn")
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(
        "Package: cnn\nVersion: 1.0.0\nArchitecture: all\nMaintainer: nobody <a@b>\nDescription: network\n"
    )


def _modelpack(payload: Payload) -> None:
    exporter = open_exporter("oci", {}, load_plugins(), where="benchmark")
    written = write_package(payload.bundle, "oci", exporter, output=payload.scratch)
    written.path.rename(payload.scratch / "source")


def _empty_image(payload: Payload) -> None:
    subprocess.run(["umoci", "init", "--layout", payload.scratch / "native"], check=True)
    subprocess.run(["umoci", "new", "--image", f"{payload.scratch / 'native'}:1"], check=True)


def _archived(payload: Payload) -> None:
    """One tar, as a payload of systems that know no folders."""
    bundle = payload.bundle.path
    subprocess.run(["tar", "-cf", payload.scratch / "model.tar", "-C", bundle.parent, bundle.name], check=True)


def _described(payload: Payload) -> None:
    _archived(payload)
    (payload.scratch / "sw-description").write_text('software = { version = "1.0.0"; };\n')


def _swu(payload: Payload) -> list[str]:
    """What the manual of SWUpdate does: the payload's hash, the description's signature, the archive."""
    sign = f"openssl cms -sign -in sw-description -out sw-description.sig -signer {payload.certificate}"
    return [
        "sh",
        "-ec",
        f"sha256sum model.tar; {sign} -inkey {payload.key} -outform DER -nosmimecap -binary; "
        "printf '%s\\n' sw-description sw-description.sig model.tar | cpio --quiet -o -H crc > native",
    ]


def _mender_payload(payload: Payload) -> None:
    """The vendor's tool reads no key in PKCS#8."""
    _archived(payload)
    traditional = payload.scratch / "traditional.pem"
    convert = ["openssl", "rsa", "-in", payload.key, "-traditional", "-out", traditional]
    subprocess.run(convert, check=True, stderr=subprocess.DEVNULL)


def _raucb_content(payload: Payload) -> None:
    _archived(payload)
    content = payload.scratch / "content"
    content.mkdir()
    (payload.scratch / "model.tar").rename(content / "model.img")
    (content / "manifest.raucm").write_text(
        "[update]\ncompatible=board\nversion=1\n[bundle]\nformat=verity\n[image.models]\nfilename=model.img\n"
    )


_MENDER = (
    "mender-artifact write module-image -T edgetool-model -n cnn -t board -f model.tar --compression none "
    "-k traditional.pem -o native"
)

ROWS = (
    Row("tar", "tar", _nothing, lambda payload: ["tar", "-cf", "native", str(payload.bundle.path)]),
    Row("deb", "dpkg-deb --build", _debian_tree, lambda _: ["dpkg-deb", "--build", "tree", "native"]),
    Row("oci", "skopeo copy", _modelpack, lambda _: ["skopeo", "copy", "oci:source:1.0.0", "oci:native:1.0.0"]),
    Row(
        "oci-image",
        "umoci insert",
        _empty_image,
        lambda payload: ["umoci", "insert", "--rootless", "--image", "native:1", str(payload.bundle.path), "/cnn"],
        {"architecture": "amd64"},
    ),
    Row("triton", "cp -r", _nothing, lambda payload: ["cp", "-r", str(payload.bundle.path / "model"), "native"]),
    Row("swu", "sha256sum, openssl, cpio", _described, _swu, {"hardware": ["board:1"]}, signed=True),
    Row(
        "mender",
        "mender-artifact",
        _mender_payload,
        lambda _: _MENDER.split(),
        {"device_types": ["board"]},
        signed=True,
    ),
    Row(
        "rauc",
        "rauc bundle",
        _raucb_content,
        lambda payload: [
            "rauc",
            "bundle",
            f"--cert={payload.certificate}",
            f"--key={payload.key}",
            "content",
            "native",
        ],
        {"compatible": "board"},
        signed=True,
    ),
)
"""One for each format; a format that is signed says so."""


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.package", description=__doc__)
    names = tuple(row.format for row in ROWS)
    parser.add_argument("formats", nargs="*", choices=names, metavar="FORMAT", help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="how many runs of each count")
    chosen = parser.parse_args(list(arguments))
    with tempfile.TemporaryDirectory() as name:
        payload = _payload(Path(name))
        size = sum(path.stat().st_size for path in payload.bundle.path.rglob("*") if path.is_file())
        print(f"package: a bundle of {size / 1e6:.1f} MB, each format against its native tool")
        for row in ROWS:
            if not chosen.formats or row.format in chosen.formats:
                _measure(row, payload, rounds=chosen.rounds)


def _payload(folder: Path) -> Payload:
    targets = write_project(folder, channels=_CHANNELS, size=_SIZE)
    command = [sys.executable, "-m", "edgetool", "build", "--file", str(targets), "--target", "float"]
    environment = {**os.environ, "EDGETOOL_CACHE_DIR": str(folder / "cache")}
    subprocess.run([*command, "-o", str(folder), "--latency-time", "0.1s", "--quiet"], check=True, env=environment)
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=benchmark", "-addext", "extendedKeyUsage=emailProtection,codeSigning"]
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject]
    subprocess.run([*request, "-keyout", key, "-out", certificate], check=True, stderr=subprocess.DEVNULL)
    (folder / "scratch").mkdir()
    bundle = read_bundle(folder / "cnn-1.0.0-float.edgebundle")
    return Payload(bundle, folder / "scratch", key, certificate)


def _measure(row: Row, payload: Payload, *, rounds: int) -> None:
    tool = row.command(payload)[0]
    if shutil.which(tool) is None:
        print(f"{row.format}: {tool} is not installed")
        return
    exporter = open_exporter(row.format, row.options, load_plugins(), where="benchmark")
    signer = load_signer(str(payload.key), certificate=payload.certificate) if row.signed else None
    out = payload.scratch / "out"
    keys = ["--key", str(payload.key), "--certificate", str(payload.certificate)] if row.signed else []
    options = [word for key, value in row.options.items() for word in ("--option", f"{row.format}.{key}={value}")]
    command = [sys.executable, "-m", "edgetool", "package", str(payload.bundle.path), "--format", row.format]
    contestants: dict[str, Callable[[], object]] = {
        row.native: lambda: _quietly(row.command(payload), payload.scratch),
        "writing": lambda: write_package(payload.bundle, row.format, exporter, output=out, signer=signer),
        "edgetool package": lambda: _quietly([*command, "-o", str(out), *keys, *options], payload.scratch),
    }
    runs: dict[str, list[Run]] = {name: [] for name in contestants}
    sizes: dict[str, int] = {}
    for number in range(rounds + 1):
        for name, work in contestants.items():
            _clear(payload.scratch)
            if name == row.native:
                row.prepare(payload)
            run = _timed(work)
            sizes[name] = _size(payload.scratch / ("native" if name == row.native else "out"))
            if number:
                runs[name].append(run)
    print(
        f"{row.format}: {sizes[row.native] / 1e6:.1f} MB by {row.native}, {sizes['writing'] / 1e6:.1f} MB by edgetool"
    )
    report(runs, against=row.native, limits={"writing": LIMIT})


def _timed(work: Callable[[], object]) -> Run:
    """Wall time, and processor time of this process and of those that it waited for."""
    before, started = _processor_time(), time.perf_counter()
    work()
    return Run(time.perf_counter() - started, _processor_time() - before)


def _processor_time() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _quietly(command: Sequence[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _clear(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [row for row in path.rglob("*") if row.is_file()]
    return sum(row.stat().st_size for row in files)


if __name__ == "__main__":
    main(sys.argv[1:])
