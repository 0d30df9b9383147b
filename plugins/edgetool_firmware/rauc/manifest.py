"""manifest.raucm: what RAUC is told about a bundle, in the language of GKeyFile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


@dataclass(frozen=True, slots=True)
class Verity:
    """How RAUC checks each block: root hash and salt, hex, and the size of the tree in bytes."""

    root: str
    salt: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One image for one class of slots.

    Attributes:
        compatible: what the device's system.conf must say, too.
        version, description: for people, and for `rauc info`.
        layout: format of the bundle.
        slot: class of slots.
        filename, size, sha256: of the image.
        hook: name of the bundle's program.
        when: `install` where the program installs the image, `post-install` where it judges what RAUC has written.
    """

    compatible: str
    version: str
    description: str
    layout: Literal["verity", "plain"]
    slot: str
    filename: str
    size: int
    sha256: str
    hook: str
    when: Literal["install", "post-install"]

    def text(self, verity: Verity | None = None) -> str:
        """The manifest; with verity, as it is signed for that layout."""
        bundle: dict[str, object] = {"format": self.layout}
        if verity is not None:
            bundle |= {"verity-hash": verity.root, "verity-salt": verity.salt, "verity-size": verity.size}
        groups: dict[str, Mapping[str, object]] = {
            "update": {"compatible": self.compatible, "version": self.version, "description": self.description},
            "bundle": bundle,
            "hooks": {"filename": self.hook},
            f"image.{self.slot}": {
                "sha256": self.sha256,
                "size": self.size,
                "filename": self.filename,
                "hooks": f"{self.when};",
            },
        }
        return "\n".join(_group(name, values) for name, values in groups.items())


def _group(name: str, values: Mapping[str, object]) -> str:
    return f"[{name}]\n" + "".join(f"{key}={_escaped(str(value))}\n" for key, value in values.items())


def _escaped(text: str) -> str:
    text = text.translate(_ESCAPES)
    return f"\\s{text[1:]}" if text.startswith(" ") else text
