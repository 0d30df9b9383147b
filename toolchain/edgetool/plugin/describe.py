"""Finds the plugin that recognises a file, and has it described."""

from __future__ import annotations

from pathlib import Path

from edgetool.description import Description
from edgetool.errors import EdgetoolError, ModelError, UnavailableError
from edgetool.plugin.loading import load_function
from edgetool.plugin.manager import Plugins
from edgetool.plugin.records import FileInfo


def describe(path: Path, plugins: Plugins) -> Description | None:
    """What the first plugin that recognises the file says of it; None when nobody does.

    Plugins that claim the ending of the file's name are asked first, but its content decides.

    Raises:
        ModelError: `not-as-named`: the name has an ending of a plugin's files, and the content is something else.
        UnavailableError: `plugin-broken` or `plugin-failed`.
        HostError: the file cannot be read.
    """
    infos = sorted(plugins.files.values(), key=lambda info: path.suffix not in info.suffixes)
    for info in infos:
        if found := _asked(info, path):
            return found
    if claimed := [info for info in infos if path.suffix in info.suffixes]:
        raise _not_as_named(path, claimed[0])
    return None


def _asked(info: FileInfo, path: Path) -> Description | None:
    try:
        found = load_function(info)(path)
    except EdgetoolError:
        raise
    except Exception as error:  # the plugin boundary: anything may come out of foreign code
        raise UnavailableError(
            "plugin-failed",
            f"{info.loader} failed on it: {type(error).__name__}: {error}",
            where=str(path),
            hint="this is a defect of the plugin: report it there",
        ) from error
    if found is None or isinstance(found, Description):
        return found
    raise UnavailableError(
        "plugin-broken",
        f"{info.loader} returned {type(found).__name__} instead of a Description",
        where=str(path),
        hint="this is a defect of the plugin: report it there",
    )


def _not_as_named(path: Path, info: FileInfo) -> ModelError:
    from edgetool.graph.recognize import recognize, starts_like_onnx

    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        reason = "the file is empty"
    elif starts_like_onnx(head):
        reason = "it looks like an ONNX model"
    else:
        likeness = recognize(head)
        reason = f"it looks like {likeness.name}" if likeness else "its first bytes are those of nothing known"
    return ModelError(
        "not-as-named",
        f"{reason}, though names that end in {path.suffix} are those of {info.summary}",
        where=str(path),
        hint="name the file that was meant, or give this one its own ending",
    )
