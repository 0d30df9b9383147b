"""Wraps a bundle for an update system: checks it, lets the exporter write aside, and moves the package into place."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.artifact import Facts, JsonValue
from edgetool.bundle.read import Bundle
from edgetool.bundle.verify import MANIFEST
from edgetool.disk import host_errors, only_writer, private_folder
from edgetool.errors import ConfigError, IntegrityError, ModelError, UnavailableError
from edgetool.exporters.base import AnyExporter, ExportContext, Exporter
from edgetool.nearest import one_of
from edgetool.plugin.loading import load_class
from edgetool.plugin.manager import Plugins, install_hint, missing_requirements
from edgetool.trust.checking import staleness
from edgetool.trust.signer import Signer
from edgetool.trust.verification import signature_of

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

_BUNDLE_SUFFIX = ".edgebundle"


@dataclass(frozen=True, slots=True)
class Package:
    """A package in its place.

    Attributes:
        format: name of the exporter.
        path: a file, or a folder.
        size: bytes of all its files.
        facts: what the exporter says about it.
    """

    format: str
    path: Path
    size: int
    facts: Facts

    def to_json(self) -> dict[str, JsonValue]:
        return {"format": self.format, "path": str(self.path), "size": self.size, "facts": dict(self.facts)}


def open_exporter(name: str, options: Mapping[str, Any], plugins: Plugins, *, where: str) -> AnyExporter:
    """The exporter of that name with its options.

    Raises:
        ConfigError: there is none, or the options are not what it takes.
        UnavailableError: what it needs is not installed.
    """
    import pydantic

    info = plugins.exporter(name, where=where)
    if missing := missing_requirements(info):
        raise UnavailableError(
            "requirement-missing",
            f"format {name!r} needs {', '.join(missing)}, which is not installed",
            where=where,
            hint=install_hint(info),
        )
    kind = load_class(info, Exporter)
    try:
        return kind(kind.Options.model_validate(dict(options)))
    except pydantic.ValidationError as error:
        message, hint = _on_options(name, kind.Options.model_fields, error.errors(include_url=False)[0])
        raise ConfigError("invalid-package-option", message, where=where, hint=hint) from error


def _on_options(name: str, fields: Mapping[str, FieldInfo], first: ErrorDetails) -> tuple[str, str]:
    """What is wrong with an option, and what to write instead."""
    option = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        return f"{name}.{option}: format {name!r} has no such option", one_of(option, fields, what="options")
    key = f"{name}.{option}".removesuffix(".")
    place = f"with --option {key}=VALUE, or in [targets.NAME.package.{name}]"
    meaning = fields[option].description if option in fields else None
    known = f"; it takes: {', '.join(fields) or 'none'}"
    if first["type"] == "missing":
        return f"format {name!r} needs {key}", f"give it {place}{f': {meaning}' if meaning else known}"
    return f"{key}: {first['msg']}", f"correct it {place}{f': {meaning}' if meaning else known}"


def package(
    bundle: Bundle,
    name: str,
    exporter: AnyExporter,
    *,
    output: Path,
    signer: Signer | None = None,
    overwrite: bool = False,
) -> Package:
    """Write one package.

    Args:
        bundle: as `read_bundle` checked it.
        name: of the format.
        exporter: as `open_exporter` made it.
        output: folder for the package; made if needed.
        signer: the user's key, for formats that are signed.
        overwrite: replace a package that is there already.

    Raises:
        ConfigError: the format needs a key, or a package is there already.
        ModelError: the format cannot hold this bundle.
        IntegrityError: the bundle's signature is that of an older build.
        HostError: disk full, permission denied.
    """
    _check(bundle, name, exporter, signer)
    context = ExportContext(
        name=bundle.path.absolute().name.removesuffix(_BUNDLE_SUFFIX),
        created=_created(bundle),
        signer=signer if exporter.signing != "never" else None,
        signature=_signature(bundle),
    )
    destination = output / f"{context.name}{exporter.suffix or exporter.folder}"
    with only_writer(destination):
        if destination.exists() and not overwrite:
            raise ConfigError(
                "package-exists",
                "there is something already where the package would go",
                where=str(destination),
                hint="replace it with --overwrite, or choose another folder with --output",
            )
        with private_folder(destination) as folder, host_errors(destination):
            facts = exporter.export(bundle, folder / "new", context)
            if destination.exists():
                destination.rename(folder / "old")
            (folder / "new").rename(destination)
    with host_errors(destination):
        return Package(name, destination, _size(destination), facts)


def key_fault(name: str, exporter: AnyExporter, *, key: bool, certificate: bool) -> tuple[str, str, str] | None:
    """Code, message and hint where a format wants a key or a certificate that nobody named."""
    if exporter.signing == "required" and not key:
        return (
            "key-missing",
            f"format {name!r} is always signed, and no key is named",
            "name one with --key FILE, --key env:NAME or --key pkcs11:…, or as `key` in [targets.NAME.package]",
        )
    if exporter.certified and key and not certificate:
        return (
            "certificate-missing",
            f"format {name!r} carries the key's certificate, and none is named",
            "name it with --certificate FILE, or as `certificate` in [targets.NAME.package]",
        )
    return None


def _check(bundle: Bundle, name: str, exporter: AnyExporter, signer: Signer | None) -> None:
    where = str(bundle.path)
    certified = signer is not None and bool(signer.certificates)
    if fault := key_fault(name, exporter, key=signer is not None, certificate=certified):
        raise ConfigError(fault[0], fault[1], where=where, hint=fault[2])
    refusals = [problem for problem in exporter.check(bundle) if problem.severity == "refuse"]
    if refusals:
        raise ModelError(
            "not-packageable",
            f"format {name!r} cannot hold this bundle: {'; '.join(map(str, refusals))}",
            where=where,
            hint=refusals[0].fix,
        )


def _created(bundle: Bundle) -> int:
    """The bundle's own time in seconds since 1970; 0 where it has none. Never that of the clock."""
    created = bundle.manifest.created
    try:
        return int(datetime.datetime.fromisoformat(created).timestamp()) if created else 0
    except ValueError as error:
        raise IntegrityError(
            "manifest-invalid",
            f"created is {created!r:.60}, not a time",
            where=str(bundle.path / MANIFEST),
            hint="get the bundle again",
        ) from error


def _signature(bundle: Bundle) -> Path | None:
    """The bundle's signature, if it has one. Raises IntegrityError for that of an older build."""
    place = signature_of(bundle.path)
    if not place.is_file():
        return None
    with host_errors(place):
        reason = staleness(place.read_bytes(), bundle.hashes)
    if reason is not None:
        raise IntegrityError(
            "signature-stale",
            f"the signature beside the bundle is not of this bundle: {reason}",
            where=str(place),
            hint="sign the bundle again (edgetool sign), or remove the signature",
        )
    return place


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [row for row in path.rglob("*") if row.is_file()]
    return sum(row.stat().st_size for row in files)
