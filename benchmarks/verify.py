"""What `edgetool verify` costs, against programs that do nothing but hash the same files."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.timing import Command, report, take_turns

_SLOWEST = 1 / 0.8
"""At least 80 % of the speed of SHA-256."""


def main(arguments: Sequence[str] = ()) -> None:
    """Time `verify` of a signed bundle against `openssl sha256` and `sha256sum`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks verify", description=__doc__)
    parser.add_argument("--size", type=int, default=1000, metavar="MB", help="size of the engine (default 1000)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each that count (default 5)")
    options = parser.parse_args(arguments)
    print(f"verify: a signed bundle with an engine of {options.size} MB, against programs that hash its files")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = _bundle(folder, options.size * 1_000_000)
        public = _sign(bundle, folder)
        pyz = folder / "edgetool-verify.pyz"
        _write_verifier(pyz)
        files = [str(path) for path in sorted(bundle.rglob("*")) if path.is_file()]
        commands = [
            Command("openssl sha256", ("openssl", "dgst", "-sha256", *files)),
            Command("sha256sum", ("sha256sum", *files)),
            Command("edgetool verify", (sys.executable, "-m", "edgetool", "verify", str(bundle), "--key", str(public))),
            Command("edgetool-verify.pyz", (sys.executable, "-I", "-S", str(pyz), str(bundle), "--key", str(public))),
        ]
        here = [command for command in commands if shutil.which(command.argv[0])]
        runs = take_turns(here, rounds=options.rounds, log=folder / "log")
        limits = {"edgetool verify": _SLOWEST, "edgetool-verify.pyz": _SLOWEST}
        report(runs, against=here[0].name, limits=limits)


def _bundle(folder: Path, size: int) -> Path:
    """As small as a bundle can be, with a large engine."""
    bundle = folder / "large-1.0.0-any.edgebundle"
    (bundle / "model").mkdir(parents=True)
    block = random.Random(0).randbytes(1 << 20)
    digest = hashlib.sha256()
    with (bundle / "model" / "engine.plan").open("wb") as file:
        for start in range(0, size, len(block)):
            part = block[: size - start]
            file.write(part)
            digest.update(part)
    record = {"path": "model/engine.plan", "size": size, "sha256": digest.hexdigest(), "role": "model"}
    (bundle / "manifest.json").write_text(json.dumps({"schema_version": 1, "files": [record]}))
    return bundle


def _sign(bundle: Path, folder: Path) -> Path:
    """Sign the bundle; returns the file of the public key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    from edgetool.trust.keys import load_signer
    from edgetool.trust.signing import sign_bundle

    key = ec.generate_private_key(ec.SECP256R1())
    os.environ["BENCHMARK_KEY"] = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    signer = load_signer("env:BENCHMARK_KEY")
    sign_bundle(bundle, signer)
    public = folder / "public.pem"
    public.write_bytes(signer.public_key)
    return public


def _write_verifier(path: Path) -> None:
    from edgetool.trust.pyz import write_verifier

    write_verifier(path)


if __name__ == "__main__":
    main(sys.argv[1:])
