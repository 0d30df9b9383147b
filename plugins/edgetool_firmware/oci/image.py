"""`oci-image`: an image that a container runtime starts, or mounts as a volume, with the bundle in one layer."""

from __future__ import annotations

import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from edgetool.artifact import Facts
from edgetool.bundle.read import Bundle
from edgetool.errors import ConfigError, ModelError
from edgetool.exporters import ExportContext, Exporter, ExporterOptions
from edgetool.problem import Problem
from edgetool_firmware.names import PACKAGED_MODELS, DevicePath, model_path, safe_name
from edgetool_firmware.oci.base import Base, read_base
from edgetool_firmware.oci.description import TAG, annotations_of, tag_of
from edgetool_firmware.oci.layout import MANIFEST_TYPE, Blob, Json, Layout, manifest_json
from edgetool_firmware.payload import items
from edgetool_firmware.ustar import Ustar

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"

_PLATFORMS = {
    "x86_64": {"architecture": "amd64"},
    "x86-64": {"architecture": "amd64"},
    "amd64": {"architecture": "amd64"},
    "aarch64": {"architecture": "arm64"},
    "arm64": {"architecture": "arm64"},
    "armv7": {"architecture": "arm", "variant": "v7"},
    "armv7l": {"architecture": "arm", "variant": "v7"},
    "i686": {"architecture": "386"},
    "riscv64": {"architecture": "riscv64"},
    "ppc64le": {"architecture": "ppc64le"},
}


class OciImageOptions(ExporterOptions):
    """`oci-image`: what is in the image beside the bundle, and what it starts."""

    tag: str | None = Field(default=None, pattern=f"^{TAG}$", description="Tag in the layout; unset: the version.")
    base: Path | None = Field(
        default=None,
        description="OCI image layout with one image, under which the bundle is put; unset: nothing is below it.",
    )
    program: Path | None = Field(
        default=None, description="A program for the target, put into `/usr/bin` and started by the image."
    )
    command: list[str] | None = Field(
        default=None, description="What the image starts: the program's arguments, or a program of the base with its."
    )
    path: DevicePath | None = Field(
        default=None, description="Folder of the bundle's content; `/usr/share/edgetool/models/NAME` if unset."
    )
    architecture: str | None = Field(
        default=None,
        pattern="^[a-z0-9]+$",
        description="As OCI names it; unset: from the base, else from the target's `arch`.",
    )


class OciImage(Exporter[OciImageOptions]):
    """A folder that is an OCI image layout with an image."""

    Options: ClassVar[type[OciImageOptions]] = OciImageOptions
    folder = "-oci-image"

    def check(self, bundle: Bundle) -> tuple[Problem, ...]:
        self._tag(bundle)
        self._path(bundle)
        self._platform(bundle)
        program = self.options.program
        if program is not None and _inside(program) and not program.is_file():
            raise ConfigError(
                "program-not-found",
                "the program for the image is no file",
                where=str(program),
                hint="name a program that was compiled for the target: --option oci-image.program=FILE",
            )
        return ()

    def export(self, bundle: Bundle, destination: Path, context: ExportContext) -> Facts:
        layout, base = Layout(destination), self._base
        for blob, path in base.blobs:
            layout.add_file(path, blob.media_type, sha256=blob.digest.removeprefix("sha256:"))
        layer = self._write_layer(layout, bundle, context)
        document = self._config(bundle, base, layer, context)
        config = layout.add_json(document, CONFIG_TYPE)
        layers = (*(blob for blob, _ in base.blobs), layer)
        manifest = layout.add_json(
            manifest_json(config, layers, artifact_type=None, annotations=annotations_of(bundle)), MANIFEST_TYPE
        )
        tag = self._tag(bundle)
        layout.finish(manifest, tag=tag)
        return {
            "tag": tag,
            "digest": manifest.digest,
            "layers": len(layers),
            "architecture": document["architecture"],
            "path": self._path(bundle),
        }

    def _write_layer(self, layout: Layout, bundle: Bundle, context: ExportContext) -> Blob:
        found = items(bundle, context, folder=self._path(bundle).removeprefix("/"))
        with layout.new_blob(LAYER_TYPE) as blob, Ustar(blob, created=context.created) as tar:
            if self.options.program is not None:
                tar.add_file(_inside(self.options.program).removeprefix("/"), self.options.program, program=True)
            for item in found:
                tar.add_file(item.name, item.path)
        return blob.done

    def _config(self, bundle: Bundle, base: Base, layer: Blob, context: ExportContext) -> Json:
        moment = datetime.datetime.fromtimestamp(context.created, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        step = {"created": moment, "created_by": f"edgetool package {context.name}"}
        run: dict[str, Any] = dict(base.config.get("config") or {})
        if self.options.program is not None:
            run["Entrypoint"] = [_inside(self.options.program)]
            run.pop("Cmd", None)
        if self.options.command is not None:
            run["Cmd"] = self.options.command
        run["Labels"] = {**(run.get("Labels") or {}), **annotations_of(bundle)}
        return {
            **base.config,
            **self._platform(bundle),
            "os": base.config.get("os", "linux"),
            "created": moment,
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": [*base.diff_ids, layer.digest]},
            "history": [*base.history, step],
        }

    def _tag(self, bundle: Bundle) -> str:
        return self.options.tag or tag_of(bundle, option="oci-image.tag")

    def _path(self, bundle: Bundle) -> str:
        return self.options.path or model_path(bundle, PACKAGED_MODELS)

    @cached_property
    def _base(self) -> Base:
        return read_base(self.options.base) if self.options.base is not None else Base()

    def _platform(self, bundle: Bundle) -> dict[str, str]:
        if self.options.architecture is not None:
            return {"architecture": self.options.architecture}
        if "architecture" in self._base.config:
            return {}
        arch = bundle.manifest.target.facts.get("arch")
        if found := _PLATFORMS.get(str(arch).lower()):
            return found
        raise ModelError(
            "architecture-unknown",
            "an image has an architecture, and "
            + (f"OCI has no name for the target's {arch!r:.80}" if arch else "the target's facts do not say which"),
            where=str(bundle.path),
            hint="name it with --option oci-image.architecture=amd64",
        )


def _inside(program: Path) -> str:
    """Where a program lies in the image. Raises ModelError `name-unsafe`."""
    return f"/usr/bin/{safe_name(program.name, what='the program')}"
