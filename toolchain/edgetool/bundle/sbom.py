"""The bill of materials of a bundle: a CycloneDX 1.6 ML-BOM.

Source of the format: https://cyclonedx.org/docs/1.6/json/. Equal bundles have equal ones: the serial number is derived
from what is in it, and the only time is that of SOURCE_DATE_EPOCH.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping

from edgetool.artifact import JsonValue
from edgetool.bundle.licence import licences
from edgetool.bundle.manifest import DataRecord, FileRecord, Manifest
from edgetool.bundle.model_card import model_card
from edgetool.bundle.origin import UNKNOWN, Origin
from edgetool.bundle.purl import purl

SBOM = "sbom.cdx.json"

_MODEL, _SOURCE, _RUNTIME = "model", "source", "runtime"
_SHA256 = re.compile(r"[0-9a-f]{64}")

Component = dict[str, JsonValue]


def sbom(manifest: Manifest, origin: Origin = UNKNOWN) -> dict[str, JsonValue]:
    """The document.

    Args:
        manifest: with the records of the engine's files.
        origin: how the bundle came about.
    """
    data = list(_data(manifest))
    engine = [_file(record) for record in manifest.files if record.role == "model"]
    own = [{**_file(record), "scope": "optional"} for record in manifest.files if record.role == "source"]
    tools = [_tool(name, version) for name, version in sorted(_versions(manifest, origin).items())]
    runtime, source = _runtime(manifest), _source(manifest, origin)
    document: dict[str, JsonValue] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": _metadata(manifest, datasets=_refs(data)),
        "components": [*engine, *own, runtime, source, *data, *tools],
        "dependencies": [
            _depends(_MODEL, [*_refs(engine), *_refs(own), _RUNTIME]),
            *[_depends(ref, [_SOURCE, *_refs(data), *_refs(tools)]) for ref in _refs(engine)],
            *[_depends(ref, []) for ref in (*_refs(own), _RUNTIME, _SOURCE, *_refs(data), *_refs(tools))],
        ],
    }
    content = json.dumps(document, sort_keys=True, ensure_ascii=False).encode()
    named = uuid.uuid5(uuid.NAMESPACE_URL, f"edgetool:{hashlib.sha256(content).hexdigest()}")
    return {**document, "serialNumber": f"urn:uuid:{named}"}


def _metadata(manifest: Manifest, *, datasets: list[str]) -> dict[str, JsonValue]:
    version = manifest.tools.get("edgetool")
    edgetool: Component = {"type": "application", "name": "edgetool", "purl": purl("edgetool", version)}
    model: Component = {
        "type": "machine-learning-model",
        "bom-ref": _MODEL,
        "name": manifest.name,
        "version": manifest.version,
        "description": f"{manifest.name}, compiled to {manifest.precision} for {manifest.target.name}",
        "modelCard": model_card(manifest, datasets=datasets),
        "properties": list(_properties(manifest)),
    }
    if declared := licences(manifest.source.license):
        model["licenses"] = declared
    found: dict[str, JsonValue] = {
        "lifecycles": [{"phase": "build"}],
        "tools": {"components": [edgetool | ({"version": version} if version else {})]},
        "component": model,
    }
    return found | ({"timestamp": manifest.created} if manifest.created else {})


def _properties(manifest: Manifest) -> Iterator[JsonValue]:
    """In the namespace `edgetool`, as CycloneDX's taxonomy of properties asks for."""
    pairs = {
        "target": manifest.target.name,
        "compatibility": manifest.target.compatibility,
        "precision": manifest.precision,
        "backend": manifest.backend.name,
        "entry": manifest.entry,
        "validation": str(manifest.validation.get("status")),
        "passes": ", ".join(row.name for row in manifest.passes),
    }
    for name, value in pairs.items():
        yield {"name": f"edgetool:{name}", "value": value}


def _file(record: FileRecord) -> Component:
    return {"type": "file", "bom-ref": record.path, "name": record.path, "hashes": _hashes(record.sha256)}


def _runtime(manifest: Manifest) -> Component:
    """What loads the engine on the device; the same package as the tool only where the versions are equal."""
    kind, version = manifest.runtime.kind, manifest.runtime.version
    from_python = kind in manifest.tools and manifest.tools[kind] == version
    runtime: Component = {
        "type": "framework",
        "bom-ref": _RUNTIME,
        "name": kind,
        "description": "the runtime that loads the engine",
        "scope": "required",
        "purl": purl(kind, version, kind="pypi" if from_python else "generic"),
    }
    return runtime | ({"version": version} if version else {})


def _source(manifest: Manifest, origin: Origin) -> Component:
    source: Component = {
        "type": "machine-learning-model",
        "bom-ref": _SOURCE,
        "name": manifest.source.text,
        "description": f"the network as it was before the build, read by {manifest.source.importer}",
        "hashes": _hashes(manifest.source.sha256),
    }
    if declared := licences(manifest.source.license):
        source["licenses"] = declared
    files = [row for row in origin.files if row.role == "source" and _SHA256.fullmatch(row.sha256)]
    if files:
        source["components"] = [
            {"type": "file", "bom-ref": f"source/{index}", "name": row.path, "hashes": _hashes(row.sha256)}
            for index, row in enumerate(files)
        ]
    return source


def _data(manifest: Manifest) -> Iterator[Component]:
    uses: tuple[tuple[str, str, DataRecord | None], ...] = (
        ("calibration", "samples that the quantization was calibrated on", manifest.calibration),
        ("evaluation", "samples that the engine was judged by", manifest.evaluation),
    )
    for name, use, record in uses:
        if record is not None:
            yield {
                "type": "data",
                "bom-ref": name,
                "name": f"{name} data",
                "description": f"{record.count} {use}; the hash is the digest over all of them",
                "hashes": _hashes(record.digest),
                "data": [{"type": "dataset", "name": name}],
            }


def _tool(name: str, version: str) -> Component:
    """Something that took part in the build, and is not needed on the device."""
    return {
        "type": "platform" if name == "python" else "library",
        "bom-ref": f"tool/{name}",
        "name": name,
        "version": version,
        "scope": "excluded",
        "purl": purl(name, version),
    }


def _versions(manifest: Manifest, origin: Origin) -> Mapping[str, str]:
    return {**(origin.plugins or {}), **manifest.tools}


def _depends(ref: str, on: list[str]) -> Component:
    return {"ref": ref, "dependsOn": [*on]}


def _refs(components: list[Component]) -> list[str]:
    return [str(component["bom-ref"]) for component in components]


def _hashes(sha256: str) -> list[JsonValue]:
    return [{"alg": "SHA-256", "content": sha256}] if _SHA256.fullmatch(sha256) else []
