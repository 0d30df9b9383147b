"""Several packages of one bundle: what is wanted, found out before the work, and then written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetool.artifact import JsonValue
from edgetool.bundle.read import Bundle
from edgetool.config.schema import PackageTable
from edgetool.errors import ConfigError
from edgetool.exporters.base import AnyExporter
from edgetool.exporters.package import Package, key_fault, open_exporter, package
from edgetool.plugin.manager import Plugins
from edgetool.trust.signer import Signer


@dataclass(frozen=True, slots=True)
class PackageOrder:
    """Which packages are wanted.

    Attributes:
        exporters: by name of the format, with their options.
        key: the private key as the user named it; None where there is none.
        certificate: of the key.
    """

    exporters: Mapping[str, AnyExporter]
    key: str | None = None
    certificate: Path | None = None

    def signer(self) -> Signer | None:
        """The key, where one is named. Raises ConfigError, UnavailableError."""
        if self.key is None:
            return None
        from edgetool.trust.keys import load_signer

        return load_signer(self.key, certificate=self.certificate)

    @property
    def takes_key(self) -> bool:
        """Whether any of the formats can be signed."""
        return any(exporter.signing != "never" for exporter in self.exporters.values())

    def to_json(self) -> list[JsonValue]:
        return [
            {"format": name, "options": exporter.options.model_dump(mode="json")}
            for name, exporter in self.exporters.items()
        ]


def order_of(
    table: PackageTable,
    plugins: Plugins,
    *,
    formats: Sequence[str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    where: str,
) -> PackageOrder:
    """Resolve formats, their options, and whether a key is named where one is needed; no key is read yet.

    Args:
        table: `[targets.NAME.package]`, its files relative to the working directory.
        formats: in place of the table's.
        options: by format, laid over the table's.
        where: for errors.

    Raises:
        ConfigError: an unknown format, a wrong option, or no key for a format that is always signed.
        UnavailableError: what a format needs is not installed.
    """
    names = list(dict.fromkeys(table.formats if formats is None else formats))
    given = options or {}
    if stray := sorted(given.keys() - set(names)):
        raise ConfigError(
            "invalid-package-option",
            f"format {stray[0]!r} is not written here",
            where=where,
            hint=f"options are FORMAT.KEY=VALUE, of: {', '.join(names)}",
        )
    exporters = {
        name: open_exporter(name, {**table.options.get(name, {}), **given.get(name, {})}, plugins, where=where)
        for name in names
    }
    for name, exporter in exporters.items():
        if fault := key_fault(name, exporter, key=table.key is not None, certificate=bool(table.certificate)):
            code, message, hint = fault
            raise ConfigError(code, message, where=where, hint=hint)
    return PackageOrder(exporters, table.key, Path(table.certificate) if table.certificate else None)


def fulfil(
    order: PackageOrder, bundle: Bundle, signer: Signer | None, *, output: Path, overwrite: bool
) -> Iterator[Package]:
    """Write the packages of an order, one after the other. Raises as `package` does; those that were written stay."""
    for name, exporter in order.exporters.items():
        yield package(bundle, name, exporter, output=output, signer=signer, overwrite=overwrite)
