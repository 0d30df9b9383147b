"""What a bundle was made of, and how: an in-toto statement with SLSA's provenance.

Sources of the formats: https://github.com/in-toto/attestation/tree/main/spec/v1, https://slsa.dev/spec/v1.0/provenance.

The statement lies in the bundle. Its subjects are the engine's files and not the bundle, which it is a part of. It says
nothing that the bundle's signature does not cover; for verifiers that know attestations and not bundles, the same
bytes are wrapped and signed once more, in a file beside the bundle.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edgetool.artifact import JsonValue
from edgetool.bundle.manifest import FileRecord, Manifest
from edgetool.bundle.origin import UNKNOWN, Origin
from edgetool.bundle.purl import purl
from edgetool.errors import IntegrityError

if TYPE_CHECKING:
    from edgetool.bundle.read import Bundle

PROVENANCE = "provenance.json"

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://github.com/edgetool/edgetool/blob/main/docs/reference/provenance.md#build-type-1"
BUILDER = "https://github.com/edgetool/edgetool"
PAYLOAD_TYPE = "application/vnd.in-toto+json"

_SHA256 = re.compile(r"[0-9a-f]{64}")


def statement(
    manifest: Manifest, origin: Origin = UNKNOWN, *, byproducts: tuple[FileRecord, ...] = ()
) -> dict[str, JsonValue]:
    """The statement about a bundle's engine.

    Args:
        manifest: with the records of the engine's files.
        origin: how the bundle came about.
        byproducts: files of the bundle that the build made beside the engine.
    """
    return {
        "_type": STATEMENT_TYPE,
        "subject": [_resource(row.path, row.sha256) for row in manifest.files if row.role == "model"],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _asked_for(manifest, origin),
                "internalParameters": _decided(manifest, origin),
                "resolvedDependencies": list(_dependencies(manifest, origin)),
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {**_versions(manifest, origin)}},
                **({"metadata": {"finishedOn": manifest.created}} if manifest.created else {}),
                "byproducts": [_resource(row.path, row.sha256) for row in byproducts],
            },
        },
    }


def read_statement(bundle: Bundle) -> Mapping[str, Any] | None:
    """The statement in a checked bundle; None in one that was written before there were any.

    Raises:
        IntegrityError: it is not JSON.
    """
    path = bundle.path / PROVENANCE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_bytes())
        _check_shape(found["predicate"]["buildDefinition"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(
            "provenance-damaged",
            "this is no statement of provenance",
            where=str(path),
            hint="get the bundle again from where it came",
        ) from error
    statement: Mapping[str, Any] = found
    return statement


def _check_shape(definition: Any) -> None:
    """Raise where rows are not what readers take them for."""
    definition["externalParameters"].get("recipe")
    for row in (*definition["resolvedDependencies"], *definition["internalParameters"]["steps"]):
        texts = (row["name"], row.get("digest", {}).get("sha256", ""), row.get("annotations", {}).get("use", ""))
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("a name, a digest or a use is not a text")


def _asked_for(manifest: Manifest, origin: Origin) -> dict[str, JsonValue]:
    """What the user wrote: who runs the build again begins with this."""
    return {
        "model": {"name": manifest.name, "version": manifest.version},
        "source": manifest.source.text,
        "target": manifest.target.name,
        "facts": dict(manifest.target.facts),
        "recipe": origin.recipe,
        "backend": {"name": manifest.backend.name, "options": dict(manifest.backend.options)},
        "preprocessing": dict(manifest.preprocessing) if manifest.preprocessing else None,
    }


def _decided(manifest: Manifest, origin: Origin) -> dict[str, JsonValue]:
    """What edgetool made of that: every pass with all its options, every rewrite, and what each step depended on."""
    return {
        "importer": manifest.source.importer,
        "passes": [{"name": row.name, "options": dict(row.options), "changed": row.changed} for row in manifest.passes],
        "lowerings": [{"name": row.name, "count": row.count} for row in manifest.lowerings],
        "runtime": {"kind": manifest.runtime.kind, "version": manifest.runtime.version, **manifest.runtime.facts},
        "fallback": [{"backend": row.backend, "code": row.code} for row in manifest.fallback],
        "code": origin.edgetool,
        "steps": [{"name": step.name, **step.parts} for step in origin.steps],
    }


def _dependencies(manifest: Manifest, origin: Origin) -> Iterator[JsonValue]:
    source = manifest.source
    yield _resource(source.text, source.sha256, use="the source; of a function the digest is that of its network")
    for name, record in (("calibration", manifest.calibration), ("evaluation", manifest.evaluation)):
        if record is not None:
            yield _resource(f"{name} data", record.digest, use=f"{record.count} samples; the digest over all of them")
    for row in origin.files:
        if (row.path, row.sha256) == (source.text, source.sha256):
            continue
        yield _resource(row.path, row.sha256, use=f"a file read for the {row.role}")
    for name, version in sorted(_versions(manifest, origin).items()):
        yield {"name": name, "uri": purl(name, version), "annotations": {"use": "a tool that took part"}}


def _versions(manifest: Manifest, origin: Origin) -> dict[str, str]:
    return {**(origin.plugins or {}), **manifest.tools}


def _resource(name: str, sha256: str, *, use: str | None = None) -> dict[str, JsonValue]:
    """A resource descriptor; a digest that is no sha256 is left out, and then its name stands in for a place."""
    found: dict[str, JsonValue] = {"name": name}
    found |= {"digest": {"sha256": sha256}} if _SHA256.fullmatch(sha256) else {"uri": f"urn:edgetool:unknown:{name}"}
    return found | ({"annotations": {"use": use}} if use else {})
