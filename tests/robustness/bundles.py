"""Bundles that were damaged, forged together with their manifest, or signed by something odd."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from random import Random
from typing import Any

from edgetool.bundle.verify import MEASUREMENTS, content_digest
from tests.robustness.bytes import damaged_bytes
from tests.robustness.documents import changed, damaged_document, odd_value, written
from tests.robustness.seeds import BUNDLE, KEY, SIGNATURE, Seeds
from tests.robustness.words import COUNTS, PATHS

_REPORTS = ("html", "markdown", "json", "junit", "sarif", "github", "gitlab")
_PACKAGES = ("tar", "deb", "oci", "oci-image", "triton", "yocto", "buildroot", "swu", "mender", "rauc")
_VERIFY = ("verify", BUNDLE, "--hashes-only")


def mutated_bundle(random: Random, seeds: Seeds, folder: Path) -> tuple[str, ...]:
    """Files changed behind the manifest's back, and files that no bundle may hold: all have to be noticed."""
    bundle = seeds.take(BUNDLE, folder)
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    path = random.choice(files)
    way = random.randrange(9)
    if way <= 2:
        path.write_bytes(damaged_bytes(random, path.read_bytes()))
    elif way == 3:
        (bundle / "manifest.json").write_bytes(damaged_document(random, (bundle / "manifest.json").read_bytes()))
    else:
        path.unlink()
        if way == 4:
            path.symlink_to(random.choice([text for text in PATHS if text and "\0" not in text]))
        elif way == 5:
            os.mkfifo(path)
        elif way == 6:
            path.mkdir()
        elif way == 7:
            with path.open("wb") as file:
                file.truncate(random.choice((1, 1 << 20, 1 << 40)))
    return random.choice((_VERIFY, _VERIFY, ("inspect", BUNDLE), ("report", BUNDLE), ("archive", BUNDLE)))


def resealed_bundle(random: Random, seeds: Seeds, folder: Path) -> tuple[str, ...]:
    """A forger who knows the format: what was changed has the right hashes, so every reader behind them is reached."""
    bundle = seeds.take(BUNDLE, folder)
    manifest: Any = json.loads((bundle / "manifest.json").read_bytes())
    documents = sorted(path for path in bundle.rglob("*.json") if path.name != "manifest.json")
    for _ in range(random.choice((1, 1, 2))):
        way = random.random()
        if way < 0.55:
            path = random.choice(documents)
            path.write_bytes(damaged_document(random, path.read_bytes()))
        elif way < 0.7:
            path = random.choice(sorted((bundle / "io").iterdir()) + sorted((bundle / "model").iterdir()))
            path.write_bytes(damaged_bytes(random, path.read_bytes()))
        else:
            manifest = changed(random, manifest)
    (bundle / "manifest.json").write_bytes(written(_sealed(manifest, bundle)))
    _record_digest(bundle)
    return random.choice(_readers(random))


def _readers(random: Random) -> list[tuple[str, ...]]:
    report = ("report", BUNDLE, "-O", random.choice(_REPORTS))
    package = ("package", BUNDLE, "--format", random.choice(_PACKAGES), "--output", "packages")
    others = [
        ("inspect", BUNDLE),
        ("inspect", BUNDLE, "--json"),
        ("archive", BUNDLE),
        ("diff", BUNDLE, BUNDLE),
        ("validate", BUNDLE),
        _VERIFY,
    ]
    return [report, report, report, package, package, *others]


def _sealed(manifest: Any, bundle: Path) -> Any:
    """The manifest with the sizes and hashes of the files as they are, where it still lists them."""
    rows = manifest.get("files") if isinstance(manifest, dict) else None
    for row in rows if isinstance(rows, list) else []:
        try:
            path = bundle / row["path"]
            data = path.read_bytes() if path.is_file() else b""  # it may be /dev/zero now, which does not end
            row["size"], row["sha256"] = len(data), hashlib.sha256(data).hexdigest()
        except (KeyError, TypeError, ValueError, OSError):
            continue  # this row is what was mutated
    return manifest


def _record_digest(bundle: Path) -> None:
    """The measurements name the content that they are of."""
    path = bundle / MEASUREMENTS
    hashes = {
        file.relative_to(bundle).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in bundle.rglob("*")
        if file.is_file() and file != path
    }
    try:
        document = json.loads(path.read_bytes())
        document["content_digest"] = content_digest(hashes)
    except (ValueError, TypeError, RecursionError):
        return  # it is what was mutated
    path.write_bytes(written(document))


def mutated_signature(random: Random, seeds: Seeds, folder: Path) -> tuple[str, ...]:
    """Envelopes and keys that nobody's program wrote."""
    seeds.take(BUNDLE, folder)
    signature, key = seeds.take(SIGNATURE, folder), seeds.take(KEY, folder)
    way = random.randrange(5)
    if way == 0:
        signature.write_bytes(damaged_bytes(random, signature.read_bytes()))
    elif way == 1:
        key.write_bytes(damaged_bytes(random, key.read_bytes()))
    elif way == 2:
        signature.write_bytes(damaged_document(random, signature.read_bytes()))
    else:
        signature.write_bytes(written(_forged(random, json.loads(signature.read_bytes()))))
    trust = random.choice(("--key", "--key", "--key", "--ca"))
    return ("verify", BUNDLE, trust, KEY)


def _forged(random: Random, envelope: Any) -> Any:
    """Another statement or another signature in an envelope that is whole."""
    inner = envelope["dsseEnvelope"]
    if random.random() < 0.6:
        payload = damaged_document(random, base64.b64decode(inner["payload"]))
        inner["payload"] = base64.b64encode(payload).decode()
    else:
        row = random.choice(inner["signatures"])
        row["sig"] = random.choice(
            (odd_value(random), base64.b64encode(random.randbytes(random.choice(_SIZES))).decode())
        )
    return envelope


_SIZES = tuple(count for count in COUNTS if 0 <= count <= 65536)
