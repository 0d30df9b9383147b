"""Names and paths that go into scripts, recipes and configurations: of few characters, for the rest is refused."""

from __future__ import annotations

import re
from typing import Annotated

import pydantic

from edgetool.bundle.read import Bundle
from edgetool.errors import ModelError

OTA_MODELS = "/var/lib/edgetool/models"
PACKAGED_MODELS = "/usr/share/edgetool/models"

_NAME = re.compile(r"[A-Za-z0-9._+-]{1,128}")
_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._+-]+)+")


def _device_path(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise ValueError("must be absolute, without `.`, `..` and a slash at the end, of A-Z a-z 0-9 . _ / + -")
    return path


DevicePath = Annotated[str, pydantic.AfterValidator(_device_path)]
"""Type of an option that is a path on the device."""


def safe_name(name: str, *, what: str) -> str:
    """The name itself, where a shell takes it for one plain word.

    Raises:
        ModelError: `name-unsafe`.
    """
    if not _NAME.fullmatch(name) or name.startswith(("-", ".")):
        raise ModelError(
            "name-unsafe",
            f"{what} {name!r:.80} cannot stand in scripts and paths of a device",
            hint=f"give {what} a name of A-Z a-z 0-9 . _ + - that begins with none of . and -, and build again",
        )
    return name


def model_path(bundle: Bundle, folder: str = OTA_MODELS) -> str:
    """Where the bundle's content lies on a device unless the user says otherwise. Raises ModelError `name-unsafe`."""
    return f"{folder}/{safe_name(bundle.manifest.name, what='the model')}"
