"""Puts an archived bundle back into its place: all of it, or nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

from edgetool.bundle.archive_index import DamagedArchiveError, Index, read_index
from edgetool.bundle.unpack import MAX_SIZE, TooLargeError, unpack
from edgetool.bundle.write import refuse_to_overwrite
from edgetool.disk import host_errors, only_writer, replaced_folder
from edgetool.errors import ConfigError, HostError, IntegrityError


def restore_bundle(archive: Path, destination: Path, *, max_size: int = MAX_SIZE) -> Index:
    """Restore a bundle aside, check it, and move it into place; an old bundle stays until then.

    Args:
        archive: the file.
        destination: the bundle's folder.
        max_size: bytes that may be restored at most.

    Raises:
        ConfigError: there is no archive, it restores more than `max_size`, or something else than a bundle is at
            `destination`.
        IntegrityError: the archive is damaged.
        HostError: disk full, permission denied.
    """
    _require(archive)
    refuse_to_overwrite(destination)
    with only_writer(destination), replaced_folder(destination) as folder:
        free = shutil.disk_usage(folder).free
        try:
            return unpack(archive, folder, max_size=min(max_size, free))
        except DamagedArchiveError as error:
            raise _damaged(error, archive) from error
        except TooLargeError as error:
            raise _too_large(error, archive, destination, max_size=max_size) from error


def name_in(archive: Path) -> str:
    """The name of the bundle's folder. Raises ConfigError, IntegrityError."""
    _require(archive)
    with host_errors(archive), archive.open("rb") as file:
        try:
            return read_index(file).name
        except DamagedArchiveError as error:
            raise _damaged(error, archive) from error


def _require(archive: Path) -> None:
    if not archive.is_file():
        raise ConfigError(
            "archive-not-found",
            "there is no archive",
            where=str(archive),
            hint="an archive is the file NAME.edgearchive that `edgetool archive BUNDLE` wrote",
        )


def _damaged(error: DamagedArchiveError, archive: Path) -> IntegrityError:
    return IntegrityError(
        "archive-damaged",
        f"the archive is not what was written: {error}",
        where=str(archive),
        hint="get it again from where it came, or archive the bundle again",
    )


def _too_large(error: TooLargeError, archive: Path, destination: Path, *, max_size: int) -> ConfigError | HostError:
    if error.size > max_size:
        return ConfigError(
            "archive-too-large",
            f"the archive restores {error.size} bytes, more than the {max_size} that are allowed",
            where=str(archive),
            hint="if you trust it, allow more with --max-size",
        )
    return HostError(
        "disk-full",
        f"no room left: the archive restores {error.size} bytes",
        where=str(destination),
        hint="free some space (edgetool cache gc --max-size 1GiB), then run again",
    )
