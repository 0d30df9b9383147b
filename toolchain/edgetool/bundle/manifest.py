"""The manifest: what a bundle is, what it was made of, how it was judged, and the hash of every file in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import pydantic

from edgetool.errors import IntegrityError
from edgetool.signature import Signature

SCHEMA_VERSION = 1

Role: TypeAlias = Literal["model", "io", "source", "report", "other"]


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file.

    Attributes:
        path: relative to the bundle, with slashes.
        size: bytes.
        sha256: hex.
        role: `model` is what the runtime loads, `io` the golden inputs and outputs, `source` the
            device's self-test, `report` for people, `other` what says where the rest comes from.
    """

    path: str
    size: int
    sha256: str
    role: Role


@dataclass(frozen=True, slots=True)
class TargetRecord:
    """The hardware that the bundle is for.

    Attributes:
        name: in targets.toml.
        facts: isa, vendor, ... as resolved from the catalogue and the file.
        compatibility: a device may load the bundle when its own key is equal; see `compatibility_key`.
    """

    name: str
    facts: Mapping[str, Any]
    compatibility: str


@dataclass(frozen=True, slots=True)
class RuntimeRecord:
    """What loads the engine: `kind` and `version` of the runtime, and facts such as pinned properties."""

    kind: str
    version: str | None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A backend or a pass with its options; facts say what it did."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    changed: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoweringRecord:
    """A rewrite that the backend made for its runtime."""

    name: str
    summary: str
    count: int


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """Where the model comes from.

    Attributes:
        text: as the user wrote it; of an absolute path only the name.
        sha256: of the file, or of the imported model for a factory.
        importer: what read it.
        facts: routes taken and rejected, shapes proven.
        license: SPDX identifier of the model's licence.
    """

    text: str
    sha256: str
    importer: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    license: str | None = None


@dataclass(frozen=True, slots=True)
class DataRecord:
    """Samples that were used: how many, and their digest."""

    count: int
    digest: str


@dataclass(frozen=True, slots=True)
class FallbackRecord:
    """A backend that was wanted and gave no engine."""

    backend: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything in manifest.json but the version of its schema. Fields that are missing in a file are an error.

    Attributes:
        name, version: of the model.
        created: ISO 8601 in UTC, from SOURCE_DATE_EPOCH; None without it, so that equal inputs give equal bytes.
        entry: the file that the runtime loads, relative to the bundle.
        precision: what the engine computes in.
        preprocessing: `[data.preprocess]`: how a picture becomes the model's input.
        validation: the comparison in short; all of it is in reports/validation.json.
        verdicts: of the budgets that do not depend on time; those are in reports/measurements.json.
        tools: distribution to version, of everything that decided the bytes.
        stands_in_for: targets in whose place this one was built; it proves nothing for them.
        fallback: backends that were tried first.
    """

    name: str
    version: str
    created: str | None
    target: TargetRecord
    runtime: RuntimeRecord
    backend: StepRecord
    entry: str
    precision: str
    lowerings: tuple[LoweringRecord, ...]
    passes: tuple[StepRecord, ...]
    signature: Signature
    preprocessing: Mapping[str, Any] | None
    source: SourceRecord
    calibration: DataRecord | None
    evaluation: DataRecord | None
    validation: Mapping[str, Any]
    verdicts: tuple[Mapping[str, Any], ...]
    tools: Mapping[str, str]
    stands_in_for: tuple[str, ...] = ()
    fallback: tuple[FallbackRecord, ...] = ()
    files: tuple[FileRecord, ...] = ()


def manifest_bytes(manifest: Manifest) -> bytes:
    """As JSON: top-level keys in the order above, all others sorted."""
    data: dict[str, Any] = pydantic.TypeAdapter(Manifest).dump_python(manifest, mode="json")
    ordered = {"schema_version": SCHEMA_VERSION, **{key: _sorted(value) for key, value in data.items()}}
    return (json.dumps(ordered, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def manifest_from_bytes(data: bytes, *, where: str) -> Manifest:
    """Inverse of `manifest_bytes`; keys that it does not know are ignored. Raises IntegrityError."""
    try:
        document = json.loads(data)
        version = document.get("schema_version") if isinstance(document, dict) else None
        if version != SCHEMA_VERSION:
            raise IntegrityError(
                "manifest-version",
                f"the manifest has schema version {str(version)[:20]}, this edgetool knows {SCHEMA_VERSION}",
                where=where,
                hint="read it with the edgetool that wrote it, or a newer one",
            )
        return pydantic.TypeAdapter(Manifest).validate_json(data)
    except (ValueError, RecursionError) as error:
        if isinstance(error, pydantic.ValidationError):
            first = error.errors()[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        else:
            reason = str(error)[:200]
        raise IntegrityError(
            "manifest-invalid", f"the manifest cannot be read: {reason}", where=where, hint="get the bundle again"
        ) from error


_HARDWARE = ("arch", "isa", "sm", "capabilities", "soc", "device", "gpu", "jetpack", "l4t", "tensorrt")
"""Facts that an engine may depend on, in the order in which the key names them."""


def compatibility_key(runtime: str, version: str | None, facts: Mapping[str, Any]) -> str:
    """One word that a device and a bundle can compare: the runtime's release and the facts that engines depend on.

    The third number of a version is left out: runtimes keep their engines' format within a minor release.
    """
    release = ".".join((version or "any").split(".")[:2])
    parts = [f"{key}={_word(facts[key])}" for key in _HARDWARE if key in facts]
    return ";".join([f"{runtime}={release}", *parts])


def _word(value: object) -> str:
    return ",".join(sorted(map(str, value))) if isinstance(value, (list, tuple)) else str(value)


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
