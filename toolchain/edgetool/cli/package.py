"""`edgetool package`: a bundle wrapped for the update system of a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetool.cli.bundled import BundlePath
from edgetool.cli.options import DEFAULT_FILE, File, Json, Quiet, flag
from edgetool.cli.output import Output
from edgetool.errors import ConfigError

if TYPE_CHECKING:
    from edgetool.bundle.read import Bundle
    from edgetool.config.schema import PackageTable
    from edgetool.exporters.package import Package

Formats = Annotated[
    list[str] | None,
    typer.Option("--format", metavar="FORMAT", help="Package format; repeatable. `edgetool plugins` lists them."),
]
Into = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder for packages; the bundle's if left out.")
]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="FORMAT.KEY=VALUE", help="Option of a format; repeatable."),
]
Key = Annotated[
    str | None, typer.Option("--key", metavar="KEY", help="Private key: PEM file, env:NAME, or pkcs11: URI.")
]
Certificate = Annotated[
    Path | None, typer.Option("--certificate", metavar="FILE", help="Certificate of the key, PEM, issuers after it.")
]
Overwrite = Annotated[bool, flag("--overwrite", help="Replace packages that are there already.")]


def package(
    bundle: BundlePath,
    formats: Formats = None,
    output_path: Into = None,
    options: Options = None,
    key: Key = None,
    certificate: Certificate = None,
    file: File = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Wrap BUNDLE for the update system of a device.

    What the command line leaves out comes from the table targets.NAME.package of the targets file, where NAME is the
    target that the bundle was built for.
    """
    from edgetool.bundle.read import read_bundle
    from edgetool.cli.project import interruptible
    from edgetool.engine.order import fulfil, order_of
    from edgetool.plugin.manager import load_plugins

    output = Output(json, quiet)
    plugins = load_plugins()
    opened = read_bundle(bundle)
    table = _table(opened, file)
    if not (formats or table.formats):
        raise ConfigError(
            "format-missing",
            "no package format is named",
            where=str(bundle),
            hint=f"name one with --format: {', '.join(sorted(plugins.exporters))}",
        )
    named = {"key": key or table.key, "certificate": str(certificate) if certificate else table.certificate}
    order = order_of(
        table.model_copy(update=named), plugins, formats=formats, options=_parsed(options or ()), where=str(bundle)
    )
    signer = order.signer() if order.takes_key else None
    folder = output_path or bundle.absolute().parent
    with interruptible():
        done = list(fulfil(order, opened, signer, output=folder, overwrite=overwrite))
    output.result({"packages": [row.to_json() for row in done]}, "\n".join(map(_line, done)))


def _table(bundle: Bundle, file: Path | None) -> PackageTable:
    """What the targets file says for the bundle's target; nothing where there is no file or no such target."""
    from edgetool.cli.project import open_project
    from edgetool.config.schema import PackageTable

    if file is None and not DEFAULT_FILE.is_file():
        return PackageTable()
    config = open_project(file).config
    name = bundle.manifest.target.name
    if name not in config.targets and file is None:
        return PackageTable()
    return config.target(name).package_below(config.root)


def _parsed(options: list[str] | tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """`swu.hardware=board:1.0` -> {"swu": {"hardware": "board:1.0"}}."""
    from edgetool.config.overrides import parse_override

    found: dict[str, dict[str, Any]] = {}
    for text in options:
        override = parse_override(text)
        if len(override.key) != 2:
            raise ConfigError(
                "invalid-package-option",
                f"{'.'.join(override.key)!r} is not FORMAT.KEY",
                where=f"--option {text}",
                hint="write --option FORMAT.KEY=VALUE, such as --option swu.hardware=board:1.0",
            )
        name, key = override.key
        found.setdefault(name, {})[key] = override.value
    return found


def _line(done: Package) -> str:
    from edgetool.config.units import format_bytes
    from edgetool.disk import shown

    return f"packaged {shown(done.path)}   {format_bytes(done.size)}"
