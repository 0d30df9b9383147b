"""Reads .npy and .npz files without ever unpickling."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from edgetool.errors import ConfigError
from edgetool.validate.samples import Array

_DAMAGED = (ValueError, EOFError, OSError, KeyError, zipfile.BadZipFile, zlib.error)


def read_array(path: Path) -> Array:
    """One .npy file. Raises ConfigError."""
    import numpy as np

    try:
        array = np.load(path, allow_pickle=False)
    except _DAMAGED as error:
        raise _unreadable(path, error) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise ConfigError("data-unreadable", "it is an .npz archive named .npy", where=str(path), hint="rename it")
    return array


def read_arrays(path: Path) -> dict[str, Array]:
    """All arrays of one .npz file. Raises ConfigError."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            if isinstance(archive, np.ndarray):
                raise ValueError("it is a single .npy array named .npz")
            return {name: archive[name] for name in archive.files}
    except _DAMAGED as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ConfigError:
    if "pickle" in str(error):
        return ConfigError(
            "data-unreadable",
            "it is no array file, or holds pickled objects, which could run any code when loaded",
            where=str(path),
            hint="save plain arrays with np.save or np.savez",
        )
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ConfigError("data-unreadable", f"cannot be read: {reason}", where=str(path), hint="write the file again")
