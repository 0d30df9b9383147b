"""`yocto`: a layer with a recipe that installs the bundle into an image."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, StringConstraints

from edgetool.artifact import Facts
from edgetool.bundle.read import Bundle
from edgetool.bundle.verify import MANIFEST
from edgetool.exporters import ExportContext, Exporter, ExporterOptions
from edgetool.problem import Problem
from edgetool_firmware.deb.control import package_name
from edgetool_firmware.health import HEALTH, programs
from edgetool_firmware.licenses import license_expression, own_licenses
from edgetool_firmware.names import PACKAGED_MODELS, DevicePath, model_path, safe_name
from edgetool_firmware.one_or_more import OneOrMore
from edgetool_firmware.shared_objects import shared_objects
from edgetool_firmware.source_archive import SourceArchive, Url, write_source_archive
from edgetool_firmware.template import Words, write_filled

Release: TypeAlias = Literal["kirkstone", "scarthgap", "styhead", "walnascar", "whinlatter", "wrynose"]
Machine: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$")]
Recipe: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.+-]*$")]

_PACKAGE = "edgetool_firmware.yocto"
_CLOSED = "CLOSED"
"""Of a model without a licence: images keep it to themselves."""
_UNPACKED_BESIDE_THE_WORK = ("kirkstone", "scarthgap")
_RUNTIMES = {
    "onnxruntime": ("onnxruntime",),
    "openvino": ("openvino-inference-engine",),
    "tensorrt": ("tensorrt-core",),
}


class YoctoOptions(ExporterOptions):
    """`yocto`: for which machines and which release."""

    machines: OneOrMore[Machine] = Field(
        min_length=1,
        description="Values of MACHINE whose images may hold the bundle, such as `raspberrypi5`; one, or a list.",
    )
    release: Release = Field(default="scarthgap", description="Release of Yocto that the layer is for.")
    url: Url | None = Field(
        default=None,
        description="Folder on a server that the recipe fetches the archive from; unset: it lies in the layer.",
    )
    rdepends: OneOrMore[Recipe] | None = Field(
        default=None,
        description="Packages that the bundle needs at run time; unset: onnxruntime, openvino-inference-engine or "
        "tensorrt-core, by its runtime.",
    )
    license: str | None = Field(default=None, description="SPDX expression; the model's if unset, CLOSED without one.")
    homepage: Url = Field(default="https://example.com/", description="HOMEPAGE of the recipes.")
    path: DevicePath | None = Field(
        default=None, description="Folder of the bundle's content; `/usr/share/edgetool/models/NAME` if unset."
    )


class Yocto(Exporter[YoctoOptions]):
    """A folder with the layer, and with the archive where that does not lie in the layer."""

    Options: ClassVar[type[YoctoOptions]] = YoctoOptions
    folder = "-yocto"

    def check(self, bundle: Bundle) -> tuple[Problem, ...]:
        manifest = bundle.manifest
        safe_name(manifest.target.name, what="the target")
        safe_name(manifest.version, what="the version")
        package_name(bundle)
        self._license(bundle)
        self._path(bundle)
        return ()

    def export(self, bundle: Bundle, destination: Path, context: ExportContext) -> Facts:
        manifest, options = bundle.manifest, self.options
        recipe = package_name(bundle)
        layer = f"meta-{recipe}-{_lower(manifest.target.name)}"
        home = destination / layer / "recipes-models"
        uploads = destination / "downloads"
        archive = write_source_archive(bundle, home / recipe / "files" if options.url is None else uploads, context)
        needs = self._needs(bundle)
        write_filled(
            home / recipe / f"{recipe}_{manifest.version.replace('-', '~').replace('_', '+')}.bb",
            _PACKAGE,
            "model.bb.in",
            self._recipe_words(bundle, archive, needs),
        )
        self._write_health(home / HEALTH)
        words = {"COLLECTION": layer.removeprefix("meta-"), "RELEASE": options.release}
        write_filled(destination / layer / "conf" / "layer.conf", _PACKAGE, "layer.conf.in", words)
        words = {
            "LAYER": layer, "RELEASE": options.release, "RECIPE": recipe, "FOLDER": archive.folder,
            "DEVICE_PATH": self._path(bundle), "NEEDS": ", ".join(needs),
        }  # fmt: skip
        write_filled(destination / layer / "README.md", _PACKAGE, "README.md.in", words)
        return {
            "layer": layer,
            "recipe": recipe,
            "sha256": archive.sha256,
            "path": self._path(bundle),
            "rdepends": list(needs),
            "upload": None if options.url is None else f"downloads/{archive.name} to {options.url.rstrip('/')}/",
        }

    def _recipe_words(self, bundle: Bundle, archive: SourceArchive, needs: tuple[str, ...]) -> Words:
        manifest, options = bundle.manifest, self.options
        license_text = self._license(bundle)
        own = own_licenses(license_text)
        libraries = shared_objects(bundle)
        is_open = license_text != _CLOSED
        data = (bundle.path / MANIFEST).read_bytes()
        return {
            "SUMMARY": f"Model {manifest.name} {manifest.version} for {manifest.target.name}",
            "HOMEPAGE": options.homepage,
            "LICENSE": license_text,
            "LICENSE_MD5": hashlib.md5(data, usedforsecurity=False).hexdigest() if is_open else (),
            "OWN_LICENSE": own,
            "URI": f"{options.url.rstrip('/')}/{archive.name}" if options.url else f"file://{archive.name}",
            "SHA256": archive.sha256,
            "UNPACKED": self._unpacked(),
            "FOLDER": archive.folder,
            "MACHINES": "|".join(options.machines),
            "DIGEST": bundle.content_digest,
            "PATH": self._path(bundle).replace("/usr/share/", "${datadir}/", 1),
            "RDEPENDS": " ".join(needs),
            "LIBRARIES": str(len(libraries)) if libraries else (),
            "INSANE_SKIP": "already-stripped arch dev-so ldflags" if libraries else (),
        }

    def _write_health(self, folder: Path) -> None:
        """The recipe of the programs for the device, with the programs."""
        from importlib.metadata import version

        (folder / "files").mkdir(parents=True)
        for path in programs():
            (folder / "files" / path.name).write_bytes(path.read_bytes())
        statement = (folder / "files" / HEALTH).read_bytes().splitlines(keepends=True)[1]
        words = {
            "HOMEPAGE": self.options.homepage,
            "LICENSE_MD5": hashlib.md5(statement, usedforsecurity=False).hexdigest(),
            "UNPACKED": self._unpacked(),
        }
        write_filled(folder / f"{HEALTH}_{version('edgetool')}.bb", _PACKAGE, "health.bb.in", words)

    def _unpacked(self) -> str:
        """The variable for the folder that archives are unpacked into."""
        return "WORKDIR" if self.options.release in _UNPACKED_BESIDE_THE_WORK else "UNPACKDIR"

    def _needs(self, bundle: Bundle) -> tuple[str, ...]:
        chosen = self.options.rdepends
        return (HEALTH, *(_RUNTIMES.get(bundle.manifest.runtime.kind, ()) if chosen is None else chosen))

    def _license(self, bundle: Bundle) -> str:
        stated = self.options.license or bundle.manifest.source.license
        if stated is None:
            return _CLOSED
        return license_expression(stated).replace(" AND ", " & ").replace(" OR ", " | ")

    def _path(self, bundle: Bundle) -> str:
        return self.options.path or model_path(bundle, PACKAGED_MODELS)


def _lower(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-").replace("+", "-")
