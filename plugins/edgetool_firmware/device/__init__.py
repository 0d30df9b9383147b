"""What update systems bring to a device beside the bundle: the programs that check it and take it into use.

The update system puts `bundle/`, `bundle.sig` and the programs into a new folder `PATH.d/incoming...`, which lies on
the same file system as `PATH`. A script that it runs afterwards calls `take_over`.
"""

from __future__ import annotations

from importlib.resources import files

from edgetool.bundle.read import Bundle
from edgetool.exporters import ExportContext
from edgetool_firmware.health import programs
from edgetool_firmware.payload import Item, items

BUNDLE = "bundle"


def carried(bundle: Bundle, context: ExportContext) -> tuple[Item, ...]:
    """The bundle as `bundle/`, its signature as `bundle.sig`, and the programs; sorted by name."""
    extra = [Item(path.name, path, path.stat().st_size) for path in programs()]
    return tuple(sorted((*items(bundle, context, folder=BUNDLE), *extra), key=lambda item: item.name.encode()))


def script(front: str, **settings: str) -> str:
    """A program for /bin/sh: settings as variables, `take_over`, and then what a system's own script does.

    Args:
        front: the system's own script.
        settings: variables; the values are plain words of the kind that `names.py` lets through.
    """
    variables = "".join(f"{name}={value}\n" for name, value in settings.items())
    return f"#!/bin/sh\nset -eu\n{variables}\n{files(__name__).joinpath('take-over.sh').read_text()}\n{front}"
