"""`deb`: a package for dpkg and apt, written without either."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Annotated, Any, ClassVar, Literal

from pydantic import Field

from edgetool.artifact import Facts
from edgetool.bundle.read import Bundle
from edgetool.exporters import ExportContext, Exporter, ExporterOptions
from edgetool.problem import Problem
from edgetool_firmware.deb import control
from edgetool_firmware.deb.ar import MAX_SIZE, Ar
from edgetool_firmware.names import PACKAGED_MODELS, DevicePath, model_path
from edgetool_firmware.payload import Item, items, paths
from edgetool_firmware.ustar import Ustar
from edgetool_firmware.xz import LEVELS, XzWriter


class DebOptions(ExporterOptions):
    """`deb`: what the package is called, and what it needs."""

    package: str | None = Field(
        default=None,
        pattern=f"^{control.PACKAGE}$",
        description="Name of the package; `edgetool-model-NAME` if unset.",
    )
    version: str | None = Field(
        default=None,
        pattern=f"^{control.VERSION}$",
        description="Version of the package; the model's if unset, with `~` for `-`.",
    )
    architecture: str | None = Field(
        default=None,
        pattern="^[a-z0-9][a-z0-9-]*$",
        description="As dpkg names it; unset: from the target's `arch`, `all` where it has none.",
    )
    depends: list[Annotated[str, Field(pattern=f"^{control.LINE}$")]] | None = Field(
        default=None,
        description="Packages that must be installed, as in `Depends`; unset: for TensorRT its libnvinfer of the "
        "release that the engine fits, else none.",
    )
    maintainer: str = Field(
        default="edgetool <edgetool@localhost>",
        pattern=f"^{control.LINE}$",
        description="`NAME <ADDRESS>` of who answers for the package.",
    )
    section: str = Field(default="misc", pattern="^[a-z0-9/-]+$", description="Section of the archive.")
    path: DevicePath | None = Field(
        default=None, description="Folder of the bundle's content; `/usr/share/edgetool/models/NAME` if unset."
    )
    compression: Literal["xz", "none"] = Field(
        default="xz", description="Of the payload; engines with float weights shrink by a tenth."
    )
    level: int = Field(
        default=0,
        ge=LEVELS.start,
        lt=LEVELS.stop,
        description="Of xz: 6 is dpkg-deb's, four times slower than 0 and no smaller for most engines.",
    )


class Deb(Exporter[DebOptions]):
    """One file; `dpkg -i` installs the bundle's content into a folder."""

    Options: ClassVar[type[DebOptions]] = DebOptions
    suffix = ".deb"

    def check(self, bundle: Bundle) -> tuple[Problem, ...]:
        self._control(bundle)
        self._path(bundle)
        size = sum((bundle.path / path).stat().st_size for path in paths(bundle))
        if size < MAX_SIZE * 0.99:  # archives are larger than their content by little
            return ()
        return (Problem(f"it has {size} bytes, and a Debian package ends at {MAX_SIZE}", fix="ship it as tar or oci"),)

    def export(self, bundle: Bundle, destination: Path, context: ExportContext) -> Facts:
        chosen, path = self._control(bundle), self._path(bundle)
        found = items(bundle, context, folder=f".{path}")
        ending, compressed = self._compression()
        with destination.open("xb") as file:
            archive = Ar(file, created=context.created)
            archive.add("debian-binary", b"2.0\n")
            with archive.member(f"control.tar{ending}") as member, compressed(member) as sink:
                _write_control(sink, control.control_text(chosen, bundle, found), found, context)
            with archive.member(f"data.tar{ending}") as member, compressed(member) as sink:
                _write_data(sink, found, context)
        return {
            "package": chosen.package,
            "version": chosen.version,
            "architecture": chosen.architecture,
            "depends": list(chosen.depends),
            "path": path,
        }

    def _control(self, bundle: Bundle) -> control.Control:
        options = self.options
        depends = options.depends
        return control.Control(
            package=options.package or control.package_name(bundle),
            version=options.version or control.package_version(bundle),
            architecture=options.architecture or control.architecture(bundle),
            maintainer=options.maintainer,
            section=options.section,
            depends=control.dependencies(bundle) if depends is None else tuple(depends),
        )

    def _path(self, bundle: Bundle) -> str:
        return self.options.path or model_path(bundle, PACKAGED_MODELS)

    def _compression(self) -> tuple[str, Callable[[IO[bytes]], AbstractContextManager[Any]]]:
        """Ending of the members' names, and what to put before them."""
        if self.options.compression == "none":
            return "", nullcontext
        return ".xz", lambda file: XzWriter(file, level=self.options.level)


def _write_control(sink: IO[bytes], text: str, found: tuple[Item, ...], context: ExportContext) -> None:
    with Ustar(sink, created=context.created) as tar:
        tar.add_bytes("./control", text.encode())
        tar.add_bytes("./md5sums", control.md5sums(found).encode())


def _write_data(sink: IO[bytes], found: tuple[Item, ...], context: ExportContext) -> None:
    with Ustar(sink, created=context.created) as tar:
        for item in found:
            tar.add_file(item.name, item.path)
