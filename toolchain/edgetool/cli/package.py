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
    from edgetool.plugin.manager import Plugins

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

    What the command line leaves out comes from [targets.NAME.package] of the targets file, where NAME is the target
    that the bundle was built for.
    """
    from edgetool.bundle.read import read_bundle
    from edgetool.exporters.package import open_exporter
    from edgetool.exporters.package import package as write
    from edgetool.plugin.manager import load_plugins
    from edgetool.trust.keys import load_signer

    output = Output(json, quiet)
    plugins = load_plugins()
    opened = read_bundle(bundle)
    table = _table(opened, plugins, file)
    names = list(dict.fromkeys(formats or table.formats))
    if not names:
        raise ConfigError(
            "format-missing",
            "no package format is named",
            where=str(bundle),
            hint=f"name one with --format: {', '.join(sorted(plugins.exporters))}",
        )
    given = _parsed(options or ())
    if stray := sorted(given.keys() - set(names)):
        raise ConfigError(
            "invalid-package-option",
            f"format {stray[0]!r} is not written here",
            where="--option",
            hint=f"options are FORMAT.KEY=VALUE, of: {', '.join(names)}",
        )
    exporters = {
        name: open_exporter(name, {**table.options.get(name, {}), **given.get(name, {})}, plugins, where=str(bundle))
        for name in names
    }
    named = key or table.key
    chain = certificate or (Path(table.certificate) if table.certificate else None)
    wanted = named is not None and any(exporter.signing != "never" for exporter in exporters.values())
    signer = load_signer(named, certificate=chain) if named is not None and wanted else None
    folder = output_path or bundle.absolute().parent
    done = [
        write(opened, name, exporter, output=folder, signer=signer, overwrite=overwrite)
        for name, exporter in exporters.items()
    ]
    output.result({"packages": [row.to_json() for row in done]}, "\n".join(map(_line, done)))


def _table(bundle: Bundle, plugins: Plugins, file: Path | None) -> PackageTable:
    """What the targets file says for the bundle's target; nothing where there is no file or no such target."""
    from edgetool.cli.project import open_project
    from edgetool.config.schema import PackageTable

    if file is None and not DEFAULT_FILE.is_file():
        return PackageTable()
    config = open_project(file).config
    target = config.targets.get(bundle.manifest.target.name)
    if target is None:
        if file is not None:
            config.target(bundle.manifest.target.name)  # raises with the names that there are
        return PackageTable()
    table = target.package
    if table.certificate is None:
        return table
    return table.model_copy(update={"certificate": str(config.root / table.certificate)})


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

    return f"packaged {done.path}   {format_bytes(done.size)}"
