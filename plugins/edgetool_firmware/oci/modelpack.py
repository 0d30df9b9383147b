"""`oci`: the bundle as a CNCF ModelPack artifact, a layer a file (github.com/modelpack/model-spec, v1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from pydantic import Field

from edgetool.artifact import Facts
from edgetool.bundle.manifest import FileRecord, Role
from edgetool.bundle.read import Bundle
from edgetool.exporters import ExportContext, Exporter, ExporterOptions
from edgetool.problem import Problem
from edgetool_firmware.oci.description import TAG, annotations_of, tag_of
from edgetool_firmware.oci.layout import MANIFEST_TYPE, MAX_MANIFEST, Blob, Json, Layout, manifest_json
from edgetool_firmware.payload import items

ARTIFACT_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"

_FOLDER = "bundle"
_FILE_PATH = "org.cncf.model.filepath"
_TITLE = "org.opencontainers.image.title"
_KINDS: dict[Role, str] = {
    "model": "weight",
    "io": "dataset",
    "report": "doc",
    "source": "code",
    "other": "doc",
}
_CODE = frozenset({".sh", ".awk", ".py", ".c", ".cpp", ".h"})
_SETTINGS = frozenset({".json", ".xml", ".cache", ".toml", ".yaml"})
_LAYER = 600  # bytes that a layer takes in a manifest, about


class OciOptions(ExporterOptions):
    """`oci`: how a registry shall call it."""

    tag: str | None = Field(default=None, pattern=f"^{TAG}$", description="Tag in the layout; unset: the version.")


@dataclass(frozen=True, slots=True)
class _Part:
    """A file that becomes a layer: its path in the artifact, its media type, and its hash where it is known."""

    name: str
    path: Path
    media_type: str
    sha256: str | None


class Oci(Exporter[OciOptions]):
    """A folder that is an OCI image layout; `skopeo copy oci:FOLDER:TAG docker://…` puts it into a registry."""

    Options: ClassVar[type[OciOptions]] = OciOptions
    folder = "-oci"

    def check(self, bundle: Bundle) -> tuple[Problem, ...]:
        self._tag(bundle)
        count = len(bundle.manifest.files)
        if count * _LAYER <= MAX_MANIFEST:
            return ()
        return (Problem(f"it has {count} files, too many layers for a registry", fix="ship it as oci-image or tar"),)

    def export(self, bundle: Bundle, destination: Path, context: ExportContext) -> Facts:
        layout = Layout(destination)
        layers = tuple(self._layer(layout, part) for part in _parts(bundle, context))
        config = layout.add_json(config_json(bundle, layers), CONFIG_TYPE)
        document = manifest_json(config, layers, artifact_type=ARTIFACT_TYPE, annotations=annotations_of(bundle))
        manifest = layout.add_json(document, MANIFEST_TYPE)
        tag = self._tag(bundle)
        layout.finish(manifest, tag=tag)
        return {"tag": tag, "digest": manifest.digest, "layers": len(layers)}

    def _tag(self, bundle: Bundle) -> str:
        return self.options.tag or tag_of(bundle, option="oci.tag")

    def _layer(self, layout: Layout, part: _Part) -> Blob:
        blob = layout.add_file(part.path, part.media_type, sha256=part.sha256)
        return replace(blob, annotations={_FILE_PATH: part.name, _TITLE: part.name})


def config_json(bundle: Bundle, layers: tuple[Blob, ...]) -> Json:
    """What ModelPack's tools show of a model. The format is closed: what it has no key for is an annotation."""
    manifest = bundle.manifest
    descriptor: dict[str, Any] = {"name": manifest.name, "version": manifest.version}
    if manifest.created is not None:
        descriptor["createdAt"] = manifest.created
    if manifest.source.license is not None:
        descriptor["licenses"] = [manifest.source.license]
    return {
        "descriptor": descriptor,
        "config": {"format": PurePosixPath(manifest.entry).suffix.removeprefix("."), "precision": manifest.precision},
        "modelfs": {"type": "layers", "diffIds": [layer.digest for layer in layers]},
    }


def _parts(bundle: Bundle, context: ExportContext) -> Iterator[_Part]:
    """All files below `bundle/`, and `bundle.sig`."""
    records = {f"{_FOLDER}/{record.path}": record for record in bundle.manifest.files}
    for item in items(bundle, context, folder=_FOLDER):
        record = records.get(item.name)
        sha256 = record.sha256 if record is not None else None
        yield _Part(item.name, item.path, f"application/vnd.cncf.model.{_kind(bundle, record)}.v1.raw", sha256)


def _kind(bundle: Bundle, record: FileRecord | None) -> str:
    """ModelPack's word for what a file is; those without a record are the manifest, measurements and the signature."""
    if record is None:
        return "weight.config"
    ending = PurePosixPath(record.path).suffix
    if record.role == "model" and ending in _CODE:
        return "code"
    if record.role == "model" and ending in _SETTINGS and record.path != bundle.manifest.entry:
        return "weight.config"
    return _KINDS[record.role]
