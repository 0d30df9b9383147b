"""`edgetool plugins`: what is installed, what it offers, and what is broken."""

from __future__ import annotations

from edgetool.cli.options import Json, Quiet
from edgetool.cli.output import Output


def plugins(json: Json = False, quiet: Quiet = False) -> None:
    """List what plugins offer, what it needs, and what is broken."""
    from edgetool.plugin.manager import install_hint, load_plugins, missing_requirements

    found = load_plugins()
    offers = []
    for kind, infos in (
        ("importer", found.importers),
        ("pass", found.passes),
        ("backend", found.backends),
        ("exporter", found.exporters),
        ("file", found.files),
    ):
        for info in infos.values():
            missing = missing_requirements(info)
            offers.append(
                {
                    "kind": kind,
                    "name": info.name,
                    "summary": info.summary,
                    "loader": info.loader,
                    "missing": list(missing),
                    "install": install_hint(info) if missing else None,
                }
            )
    broken = [row for row in found.providers if row.error]
    width = max((len(str(row["name"])) for row in offers), default=0)
    lines = []
    for row in offers:
        lines.append(f"{row['kind']:<8}  {row['name']:<{width}}  {row['summary']}")
        if row["install"]:
            lines.append(f"{'':<8}  {'':<{width}}  not usable yet: {row['install']}")
    lines += [f"BROKEN    {row.name} ({row.distribution} {row.version}): {row.error}" for row in broken]
    lines += [f"CONFLICT  {name}: claimed by {' and '.join(rivals)}" for name, rivals in found.conflicts.items()]
    Output(json, quiet).result(
        {
            "offers": offers,
            "plugins": [
                {"name": row.name, "module": row.module, "distribution": row.distribution, "version": row.version,
                 "error": row.error}
                for row in found.providers
            ],
            "conflicts": {name: list(rivals) for name, rivals in found.conflicts.items()},
        },
        "\n".join(lines),
    )  # fmt: skip
