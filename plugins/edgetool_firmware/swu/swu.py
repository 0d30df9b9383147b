"""`swu`: an update for SWUpdate, which writes the bundle beside the one in use and switches to it when it is healthy.

Every file is an entry of its own with its hash, and SWUpdate writes it while it reads the update: nothing lies in a
temporary folder, and no archive is unpacked before it is known to be what was signed. A script then takes all files
into use by one rename.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pydantic

from edgetool.artifact import Facts
from edgetool.bundle.read import Bundle
from edgetool.bundle.verify import MEASUREMENTS
from edgetool.exporters import ExportContext, Exporter, ExporterOptions
from edgetool.problem import Problem
from edgetool_firmware.cms import require_purpose, sign_detached
from edgetool_firmware.device import BUNDLE, Carried, carried, script
from edgetool_firmware.names import DevicePath, model_path, safe_name
from edgetool_firmware.swu.cpio import LARGEST, Cpio
from edgetool_firmware.swu.description import Condition, Description, Entry, Script

_LONGEST = 255
"""Bytes of a path on the device: SWUpdate's buffers."""
_SHORTEN = "shorten the file's name, or `path`"

_RESERVED = frozenset({"version", "description", "files", "scripts", "images", "partitions", "bootenv", "ref"})

Hardware = Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*:[A-Za-z0-9._+-]+$")]


class SwuOptions(ExporterOptions):
    """What SWUpdate is told."""

    hardware: list[Hardware] = pydantic.Field(
        min_length=1,
        description="boards that take the update, `BOARD:REVISION` as in /etc/hwrevision or `swupdate -H`",
    )
    path: DevicePath | None = pydantic.Field(
        None, description="where the bundle lies on the device; /var/lib/edgetool/models/NAME if left out"
    )
    install_if: Literal["always", "different", "higher"] = pydantic.Field(
        "always", description="compare the version with that of NAME in the device's /etc/sw-versions before installing"
    )
    purpose: Literal["emailProtection", "codeSigning"] = pydantic.Field(
        "emailProtection", description="what the device wants the certificate to be for, as `swupdate --cert-purpose`"
    )

    @pydantic.field_validator("hardware", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @pydantic.field_validator("hardware")
    @classmethod
    def _no_word_of_the_language(cls, value: list[str]) -> list[str]:
        for text in value:
            if text.split(":")[0] in _RESERVED:
                raise ValueError(f"{text} cannot name a board: the word means something else in sw-description")
        return value


class Swu(Exporter[SwuOptions]):
    """cpio archive of a description, its signature, and the files."""

    Options: ClassVar[type[SwuOptions]] = SwuOptions
    suffix = ".swu"
    signing = "required"
    certified = True

    def check(self, bundle: Bundle) -> tuple[Problem, ...]:
        incoming = self._incoming(bundle)
        sizes = {record.path: record.size for record in bundle.manifest.files} | {MEASUREMENTS: 0}
        large = [path for path, size in sizes.items() if size > LARGEST]
        long = [path for path in sizes if len(f"{incoming}/{BUNDLE}/{path}".encode()) > _LONGEST]
        fix = "split the engine's weights into several files"
        return (
            *(Problem(f"SWUpdate takes no file of 4 GiB and more: {path:.80}", fix=fix) for path in large),
            *(Problem(f"SWUpdate takes no path of more than 255 bytes: {path:.80}", fix=_SHORTEN) for path in long),
        )

    def export(self, bundle: Bundle, destination: Path, context: ExportContext) -> Facts:
        signer = context.signer
        if signer is None:
            raise ValueError("the framework gives every signed format a key")
        require_purpose(signer, code_signing=self.options.purpose == "codeSigning")
        found = carried(bundle, context)
        front = files(__package__).joinpath("install.sh").read_text()
        install = script(front, path=self._path(bundle), incoming=self._incoming(bundle)).encode()
        description = str(self._description(bundle, found, install)).encode()
        with destination.open("xb") as file, Cpio(file, created=context.created) as archive:
            archive.add_bytes("sw-description", description)
            archive.add_bytes("sw-description.sig", sign_detached(hashlib.sha256(description).digest(), signer))
            archive.add_bytes("install.sh", install)
            for index, item in enumerate(found):
                archive.add_file(_member(index), item.path)
        return {
            "path": self._path(bundle),
            "hardware": list(self.options.hardware),
            "deterministic": signer.deterministic,
        }

    def _description(self, bundle: Bundle, found: tuple[Carried, ...], install: bytes) -> Description:
        manifest = bundle.manifest
        incoming = self._incoming(bundle)
        return Description(
            version=manifest.version,
            text=f"{manifest.name} {manifest.version} for {manifest.target.compatibility}",
            boards=_boards(self.options.hardware),
            entries=[Entry(_member(index), f"{incoming}/{item.name}", item.sha256) for index, item in enumerate(found)],
            script=Script("install.sh", hashlib.sha256(install).hexdigest()),
            condition=self._condition(bundle),
        )

    def _condition(self, bundle: Bundle) -> Condition | None:
        if self.options.install_if == "always":
            return None
        name, version = bundle.manifest.name, bundle.manifest.version
        return Condition(
            name=safe_name(name, what="the model"),
            version=safe_name(version, what="the version"),
            key=f"install-if-{self.options.install_if}",
        )

    def _path(self, bundle: Bundle) -> str:
        return self.options.path or model_path(bundle)

    def _incoming(self, bundle: Bundle) -> str:
        """A folder of the bundle's own: what a cut-off update left behind never mixes with another one."""
        return f"{self._path(bundle)}.d/incoming-{bundle.content_digest[:16]}"


def _member(index: int) -> str:
    return f"{index:06}"


def _boards(hardware: list[str]) -> dict[str, list[str]]:
    boards: dict[str, list[str]] = {}
    for board, revision in (text.split(":", 1) for text in dict.fromkeys(hardware)):
        boards.setdefault(board, []).append(revision)
    return boards
