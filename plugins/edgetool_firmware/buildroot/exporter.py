"""`buildroot`: an external tree with a package that installs the bundle into an image."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from edgetool.artifact import Facts
from edgetool.bundle.read import Bundle
from edgetool.bundle.verify import MANIFEST
from edgetool.exporters import ExportContext, Exporter, ExporterOptions
from edgetool.problem import Problem
from edgetool_firmware.health import programs
from edgetool_firmware.licenses import license_expression
from edgetool_firmware.names import PACKAGED_MODELS, DevicePath, model_path, safe_name
from edgetool_firmware.one_or_more import OneOrMore
from edgetool_firmware.source_archive import SourceArchive, Url, write_source_archive
from edgetool_firmware.template import Words, write_filled

_PACKAGE = "edgetool_firmware.buildroot"
_ARCHITECTURES = {
    "x86-64": "BR2_x86_64",
    "x86_64": "BR2_x86_64",
    "aarch64": "BR2_aarch64",
    "arm64": "BR2_aarch64",
    "armv7": "BR2_arm",
    "riscv64": "BR2_RISCV_64",
}
_Symbol = Annotated[str, StringConstraints(pattern=r"^BR2_[A-Za-z0-9_]+$")]


class BuildrootOptions(ExporterOptions):
    """`buildroot`: what the package needs, and where its archive lies."""

    select: OneOrMore[_Symbol] = Field(
        default=[],
        description="Symbols of packages that the bundle needs, such as your own tree's runtime; Buildroot itself has "
        "none of onnxruntime, openvino and tensorrt.",
    )
    url: Url | None = Field(
        default=None,
        description="Folder on a server that Buildroot fetches the archive from; unset: it lies in the tree.",
    )
    license: str | None = Field(
        default=None, description="SPDX expression; the model's if unset. Without one it is not redistributed."
    )
    homepage: Url = Field(default="https://example.com/", description="Shown in the help of menuconfig.")
    path: DevicePath | None = Field(
        default=None, description="Folder of the bundle's content; `/usr/share/edgetool/models/NAME` if unset."
    )


class Buildroot(Exporter[BuildrootOptions]):
    """A folder: the tree for BR2_EXTERNAL, and the archive in `downloads/`."""

    Options: ClassVar[type[BuildrootOptions]] = BuildrootOptions
    folder = "-buildroot"

    def check(self, bundle: Bundle) -> tuple[Problem, ...]:
        safe_name(bundle.manifest.target.name, what="the target")
        safe_name(bundle.manifest.version, what="the version")
        self._license(bundle)
        self._path(bundle)
        libraries = [record.path for record in bundle.manifest.files if ".so" in Path(record.path).name]
        if libraries:
            return (
                Problem(
                    f"Buildroot strips files with .so in their names: {libraries[0]} would not be the one that was "
                    "validated",
                    fix="ship it by another format, or build the engine without libraries",
                ),
            )
        return ()

    def export(self, bundle: Bundle, destination: Path, context: ExportContext) -> Facts:
        archive = write_source_archive(bundle, destination / "downloads", context)
        package = _package(bundle)
        words = self._words(bundle, archive, context)
        home = destination / "package" / package
        for path, template in (
            (destination / "external.desc", "external.desc.in"),
            (destination / "external.mk", "external.mk.in"),
            (destination / "Config.in", "Config.in.in"),
            (home / "Config.in", "package.Config.in.in"),
            (home / f"{package}.mk", "package.mk.in"),
            (home / f"{package}.hash", "package.hash.in"),
        ):
            write_filled(path, _PACKAGE, template, words)
        for program in programs():
            (home / program.name).write_bytes(program.read_bytes())
        return {
            "package": package,
            "symbol": f"BR2_PACKAGE_{_variable(package)}",
            "sha256": archive.sha256,
            "path": self._path(bundle),
            "upload": None
            if self.options.url is None
            else f"downloads/{archive.name} to {self.options.url.rstrip('/')}/",
        }

    def _words(self, bundle: Bundle, archive: SourceArchive, context: ExportContext) -> Words:
        manifest, options = bundle.manifest, self.options
        package = _package(bundle)
        tree = _variable(f"edgetool-{_plain(manifest.name)}-{_plain(manifest.target.name)}")
        path, license_text = self._path(bundle), self._license(bundle)
        return {
            "TREE": tree,
            "PACKAGE": package,
            "VARIABLE": _variable(package),
            "SUMMARY": f"Model {manifest.name} {manifest.version} for {manifest.target.name}",
            "HOMEPAGE": options.homepage,
            "ARCHITECTURE": _ARCHITECTURES.get(str(manifest.target.facts.get("arch")), ()),
            "SELECT": tuple(options.select),
            "VERSION": manifest.version,
            "SITE": options.url.rstrip("/") if options.url else f"$(BR2_EXTERNAL_{tree}_PATH)/downloads",
            "METHOD": () if options.url else "file",
            "SOURCE": archive.name,
            "FOLDER": archive.folder,
            "LICENSE": license_text or "unknown",
            "REDISTRIBUTE": () if license_text else "NO",
            "PATH": path,
            "SIGNATURE_PATH": f"{path}.sig" if context.signature else (),
            "SHA256": archive.sha256,
            "LICENSE_SHA256": hashlib.sha256((bundle.path / MANIFEST).read_bytes()).hexdigest(),
        }

    def _license(self, bundle: Bundle) -> str | None:
        stated = self.options.license or bundle.manifest.source.license
        return None if stated is None else license_expression(stated)

    def _path(self, bundle: Bundle) -> str:
        return self.options.path or model_path(bundle, PACKAGED_MODELS)


def _package(bundle: Bundle) -> str:
    return f"edgetool-model-{_plain(bundle.manifest.name)}"


def _plain(name: str) -> str:
    """Lower case with dashes for everything else, as Buildroot spells packages. Raises ModelError `name-unsafe`."""
    return re.sub(r"[^a-z0-9]+", "-", safe_name(name, what="the name").lower())


def _variable(package: str) -> str:
    return package.upper().replace("-", "_")
