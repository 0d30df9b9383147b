"""Opens a bundle after checking it: nothing in it is parsed or loaded before every byte is as recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgetool.artifact import Engine, Lowering
from edgetool.bundle.golden import GoldenCase, read_golden
from edgetool.bundle.layout import IO_FOLDER, MODEL_FOLDER
from edgetool.bundle.manifest import Manifest, manifest_from_bytes
from edgetool.bundle.verify import BUNDLE_IS, MANIFEST, Verification, path_fault, verify
from edgetool.errors import ConfigError, IntegrityError

SHOWN_FAULTS = 5


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle.

    Attributes:
        path: its folder.
        manifest: parsed.
        content_digest: computed from its files.
        hashes: path to sha256 hex of every file.
    """

    path: Path
    manifest: Manifest
    content_digest: str
    hashes: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def engine(self) -> Engine:
        """As its backend made it, for the backend that opens it."""
        manifest = self.manifest
        return Engine(
            backend=manifest.backend.name,
            directory=self.path / MODEL_FOLDER,
            entry=manifest.entry.removeprefix(MODEL_FOLDER + "/"),
            precision=manifest.precision,
            signature=manifest.signature,
            lowerings=tuple(Lowering(row.name, row.summary, row.count) for row in manifest.lowerings),
            facts=dict(manifest.runtime.facts),
        )

    def golden(self) -> tuple[GoldenCase, ...]:
        """The golden inputs and outputs; empty where the bundle has none. Raises IntegrityError."""
        folder = self.path / IO_FOLDER
        return read_golden(folder) if folder.is_dir() else ()


def read_bundle(path: Path, *, digest: str | None = None) -> Bundle:
    """Check a bundle and parse its manifest.

    Args:
        path: the folder.
        digest: the content digest that is expected, if it is known from elsewhere.

    Raises:
        ConfigError: there is no bundle.
        IntegrityError: a file is missing, added, changed or unsafe, or the manifest is not valid.
    """
    outcome = sound_bundle(path, digest=digest)
    where = str(path / MANIFEST)
    manifest = manifest_from_bytes((path / MANIFEST).read_bytes(), where=where)
    listed = {record.path for record in manifest.files}
    if path_fault(manifest.entry) or manifest.entry not in listed or not manifest.entry.startswith(MODEL_FOLDER + "/"):
        raise IntegrityError(
            "manifest-invalid",
            f"entry {manifest.entry[:200]!r} is not one of the files in {MODEL_FOLDER}/",
            where=where,
            hint="get the bundle again",
        )
    return Bundle(path, manifest, str(outcome.content_digest), outcome.hashes)


def sound_bundle(path: Path, *, digest: str | None = None) -> Verification:
    """`verify`, with an error for each thing that can be wrong. Raises as `read_bundle`; the manifest is not parsed."""
    outcome = check_bundle(path, digest=digest)
    if outcome.sound:
        return outcome
    shown = "; ".join(map(str, outcome.faults[:SHOWN_FAULTS]))
    more = f"; and {len(outcome.faults) - SHOWN_FAULTS} more" if len(outcome.faults) > SHOWN_FAULTS else ""
    raise IntegrityError(
        "bundle-damaged",
        f"the bundle is not what was recorded: {shown}{more}",
        where=str(path),
        hint="build it again, or get it again from where it came" if (path / MANIFEST).exists() else BUNDLE_IS,
    )


def check_bundle(path: Path, *, digest: str | None = None) -> Verification:
    """`verify`, with a ConfigError where there is no bundle to check."""
    try:
        return verify(path, digest=digest)
    except OSError as error:
        raise ConfigError(
            "bundle-not-found",
            f"there is no bundle: {error.strerror or error}",
            where=str(path),
            hint=_nearest(path) or BUNDLE_IS,
        ) from error


def _nearest(path: Path) -> str | None:
    """A bundle beside it that may have been meant."""
    import difflib  # only needed once something is wrong

    try:
        known = [found.name for found in path.parent.glob("*.edgebundle")]
    except OSError:  # a name that is too long, a folder that nobody may read
        return None
    close = difflib.get_close_matches(path.name, known, n=1, cutoff=0.8)
    return f"did you mean {path.parent / close[0]}?" if close else None
