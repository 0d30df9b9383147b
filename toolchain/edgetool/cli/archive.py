"""`edgetool archive` and `edgetool unpack`: a bundle as one small file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetool.cli.bundled import BundlePath
from edgetool.cli.options import Json, Quiet
from edgetool.cli.output import Output
from edgetool.errors import ConfigError
from edgetool.plain_text import counted, table

if TYPE_CHECKING:
    from edgetool.bundle.archive import Archived

_SHOWN = 8
_FOLDER_SUFFIX = ".edgebundle"

ArchivePath = Annotated[Path, typer.Argument(metavar="ARCHIVE", help="File NAME.edgearchive.")]
To = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="The archive; NAME.edgearchive beside the bundle if left out."),
]
Into = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FOLDER", help="The bundle; under its name beside the archive if left out."),
]
Most = Annotated[
    str, typer.Option("--max-size", metavar="SIZE", help='What an archive may restore at most, e.g. "500MiB".')
]


def archive(bundle: BundlePath, output_path: To = None, json: Json = False, quiet: Quiet = False) -> None:
    """Pack BUNDLE into one small file; `unpack` restores each byte.

    Weights with few different values shrink most: those of `cluster-weights`, `prune-magnitude` and `quantize-weights`.
    """
    from edgetool.bundle.archive import SUFFIX, write_archive
    from edgetool.bundle.read import read_bundle

    output = Output(json, quiet)
    found = read_bundle(bundle)
    name = bundle.absolute().name.removesuffix(_FOLDER_SUFFIX)
    done = write_archive(found, output_path or bundle.absolute().parent / f"{name}{SUFFIX}")
    before = sum(share.size for share in done.shares)
    output.result(
        {
            "archive": str(done.path),
            "content_digest": done.content_digest,
            "size": done.size,
            "size_before": before,
            "files": [{"path": row.path, "size": row.packed, "size_before": row.size} for row in done.shares],
        },
        _text(done, before),
    )


def unpack(
    archive: ArchivePath, output_path: Into = None, max_size: Most = "16GiB", json: Json = False, quiet: Quiet = False
) -> None:
    """Restore the bundle that ARCHIVE holds, and check every byte."""
    from edgetool.bundle.archive_restore import name_in, restore_bundle

    output = Output(json, quiet)
    destination = output_path or archive.absolute().parent / name_in(archive)
    index = restore_bundle(archive, destination, max_size=_bytes(max_size))
    output.result(
        {
            "bundle": str(destination),
            "content_digest": index.content_digest,
            "files": len(index.files),
            "size": index.size,
        },
        f"restored {destination}, {counted(len(index.files), 'file')}, content {index.content_digest}"
        f"   next: edgetool validate {destination}",
    )


def _bytes(text: str) -> int:
    from edgetool.config.units import byte_count

    try:
        return byte_count(text)
    except ValueError as error:
        raise ConfigError("wrong-quantity", str(error), where="--max-size") from error


def _text(done: Archived, before: int) -> str:
    from edgetool.config.units import format_bytes

    rows = [
        (f"  {share.path}", format_bytes(share.size), "→", format_bytes(share.packed)) for share in done.shares[:_SHOWN]
    ]
    more = [f"  and {len(done.shares) - _SHOWN} smaller files"] if len(done.shares) > _SHOWN else []
    ratio = before / done.size
    last = f"archived {done.path}   {format_bytes(before)} → {format_bytes(done.size)}, {ratio:.1f} times smaller"
    return "\n".join([table(rows), *more, f"{last}   next: edgetool unpack {done.path}"])
