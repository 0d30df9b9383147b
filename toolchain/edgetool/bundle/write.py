"""Writes a bundle: the same bytes for the same inputs, wherever and whenever, and either all of it or nothing."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgetool.artifact import JsonValue
from edgetool.bundle.layout import IO_FOLDER, MODEL_FOLDER, SOURCE_FOLDER, VALIDATION
from edgetool.bundle.manifest import FileRecord, Manifest, Role, manifest_bytes
from edgetool.bundle.origin import UNKNOWN, Origin
from edgetool.bundle.provenance import PROVENANCE, statement
from edgetool.bundle.sbom import SBOM, sbom
from edgetool.bundle.verify import MANIFEST, MEASUREMENTS, content_digest, path_fault, verify
from edgetool.disk import host_errors, only_writer, private_folder, replaced_folder
from edgetool.errors import ConfigError, IntegrityError, ModelError

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What goes into a bundle.

    Attributes:
        manifest: complete but for `files` and `created`, which the writer fills in.
        engine: folder whose files become `model/`, byte for byte.
        golden: folder made by `write_golden`; becomes `io/`. None where nothing could run.
        validation: becomes reports/validation.json; holds nothing that depends on time or place.
        measurements: becomes reports/measurements.json, with the content digest added.
        sources: name to content of the device's self-test; becomes `src/`.
        origin: how the engine came about, for sbom.cdx.json and provenance.json.
    """

    manifest: Manifest
    engine: Path
    golden: Path | None
    validation: Mapping[str, JsonValue]
    measurements: Mapping[str, JsonValue]
    sources: Mapping[str, bytes] = field(default_factory=dict)
    origin: Origin = UNKNOWN


@dataclass(frozen=True, slots=True)
class Written:
    """A bundle in its place.

    Attributes:
        path: its folder.
        content_digest: of everything in it but the measurements.
        manifest: as written.
        size: bytes of the engine's files.
        renewed: False when a sound bundle with this content was there already, and only measurements were written.
    """

    path: Path
    content_digest: str
    manifest: Manifest
    size: int
    renewed: bool


@dataclass(frozen=True, slots=True)
class _Part:
    """One file that is to be written: from a file, or from bytes."""

    record: FileRecord
    content: Path | bytes


def write_bundle(destination: Path, contents: Contents) -> Written:
    """Write a bundle aside and move it into place; an old bundle stays until the new one is complete.

    `created` comes from SOURCE_DATE_EPOCH; without it there is none, so that equal inputs give equal bytes.

    Raises:
        ConfigError: something else than a bundle is at `destination`, or SOURCE_DATE_EPOCH is no number.
        ModelError: the engine's files have names that no bundle may hold.
        IntegrityError: a file of the engine changed meanwhile.
        HostError: disk full, permission denied.
    """
    refuse_to_overwrite(destination)
    with host_errors(contents.engine):
        parts = list(_parts(contents))
    manifest = replace(contents.manifest, created=_created(), files=tuple(part.record for part in parts))
    parts = sorted([*parts, *_documents(manifest, contents.origin)], key=lambda part: part.record.path)
    manifest = replace(manifest, files=tuple(part.record for part in parts))
    data = manifest_bytes(manifest)
    hashes = {part.record.path: part.record.sha256 for part in parts}
    digest = content_digest({**hashes, MANIFEST: hashlib.sha256(data).hexdigest()})
    measurements = json_bytes({**contents.measurements, "content_digest": digest})
    size = sum(part.record.size for part in parts if part.record.role == "model")
    with only_writer(destination):
        is_new = not _is_there(destination, digest)
        if is_new:
            with replaced_folder(destination) as folder:
                for part in parts:
                    _write_part(folder / part.record.path, part)
                _write(folder / MANIFEST, [data])
                _write(folder / MEASUREMENTS, [measurements])
        else:
            # Not aside in its own folder: whoever is killed meanwhile would leave a foreign file in the bundle.
            with private_folder(destination) as folder:
                _write(folder / "new", [measurements])
                (folder / "new").replace(destination / MEASUREMENTS)
    return Written(destination, digest, manifest, size, renewed=is_new)


def json_bytes(data: Mapping[str, JsonValue]) -> bytes:
    """Sorted, indented, ending in a newline."""
    return (json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def portable_source(text: str) -> str:
    """What a manifest may say of a source: an absolute path is cut down to its name."""
    return Path(text).name if Path(text).is_absolute() else text


def _parts(contents: Contents) -> Iterator[_Part]:
    yield from _folder_parts(contents.engine, MODEL_FOLDER, "model")
    if contents.golden is not None:
        yield from _folder_parts(contents.golden, IO_FOLDER, "io")
    for name, content in contents.sources.items():
        yield _bytes_part(f"{SOURCE_FOLDER}/{name}", content, "source")
    yield _bytes_part(VALIDATION, json_bytes(contents.validation), "report")


def _documents(manifest: Manifest, origin: Origin) -> Iterator[_Part]:
    """What says where the other files come from. They name them by hash, so the manifest cannot be among them."""
    materials = _bytes_part(SBOM, json_bytes(sbom(manifest, origin)), "other")
    yield materials
    made = tuple(record for record in (*manifest.files, materials.record) if record.role != "model")
    yield _bytes_part(PROVENANCE, json_bytes(statement(manifest, origin, byproducts=made)), "other")


def _bytes_part(path: str, content: bytes, role: Role) -> _Part:
    return _Part(FileRecord(path, len(content), hashlib.sha256(content).hexdigest(), role), content)


def _folder_parts(folder: Path, name: str, role: Role) -> Iterator[_Part]:
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        inside = f"{name}/{path.relative_to(folder).as_posix()}"
        if reason := path_fault(inside):
            raise ModelError(
                "unsafe-file-name",
                f"a file of the engine cannot go into a bundle: {reason}",
                where=repr(inside),
                hint="rename the model's external data files",
            )
        digest, size = hashlib.sha256(), 0
        with path.open("rb") as handle:
            while chunk := handle.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
        yield _Part(FileRecord(inside, size, digest.hexdigest(), role), path)


def _write(path: Path, chunks: Iterable[bytes]) -> str:
    """Write and return the sha256 of what was written."""
    digest = hashlib.sha256()
    for folder in reversed(path.parents):
        if not folder.exists():
            folder.mkdir()
            folder.chmod(0o755)
    with path.open("wb") as target:
        for chunk in chunks:
            target.write(chunk)
            digest.update(chunk)
    path.chmod(0o644)
    return digest.hexdigest()


def _write_part(path: Path, part: _Part) -> None:
    if isinstance(part.content, bytes):
        written = _write(path, [part.content])
    else:
        with part.content.open("rb") as source:
            written = _write(path, iter(lambda: source.read(_CHUNK), b""))
    if written != part.record.sha256:
        raise IntegrityError(
            "engine-changed",
            "a file of the engine changed while it was copied into the bundle",
            where=str(part.content),
            hint="run the build again; edgetool cache verify looks for damage",
        )


def _is_there(destination: Path, digest: str) -> bool:
    return (destination / MANIFEST).is_file() and verify(destination).content_digest == digest


def refuse_to_overwrite(destination: Path) -> None:
    """Only bundles and empty folders make room for a bundle. Raises ConfigError."""
    if _makes_room(destination):
        return
    with only_writer(destination):  # a writer may just have been between looking and replacing
        makes_room = _makes_room(destination)
    if not makes_room:
        raise ConfigError(
            "bundle-place-taken",
            "something that is no bundle is in the place of the bundle",
            where=str(destination),
            hint="move it away, or choose another --output folder",
        )


def _makes_room(destination: Path) -> bool:
    if not (destination.is_symlink() or destination.exists()):
        return True
    if (destination / MANIFEST).is_file():
        return not destination.is_symlink()
    try:
        return not any(destination.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return not destination.exists()


def _created() -> str | None:
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    try:
        moment = datetime.datetime.fromtimestamp(int(text), tz=datetime.UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ConfigError(
            "bad-source-date",
            f"SOURCE_DATE_EPOCH is {text!r}, not seconds since 1970",
            where="environment",
            hint='export SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)"',
        ) from error
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
