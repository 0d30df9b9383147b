"""What a Debian package says of itself, from what the bundle says of itself."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgetool.bundle.read import Bundle
from edgetool.errors import ModelError
from edgetool_firmware.names import safe_name
from edgetool_firmware.payload import Item

PACKAGE = r"[a-z0-9][a-z0-9+.-]+"
VERSION = r"([0-9]+:)?[0-9][A-Za-z0-9.+~-]*"
LINE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*"
"""Patterns of what may stand in a control file."""

_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv7": "armhf",
    "armv7l": "armhf",
    "armhf": "armhf",
    "i686": "i386",
    "riscv64": "riscv64",
    "ppc64le": "ppc64el",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The fields that a user may choose."""

    package: str
    version: str
    architecture: str
    maintainer: str
    section: str
    depends: tuple[str, ...]


def package_name(bundle: Bundle) -> str:
    """`edgetool-model-NAME`, spelled as dpkg wants it. Raises ModelError `name-unsafe`."""
    name = safe_name(bundle.manifest.name, what="the model")
    return f"edgetool-model-{name.lower().replace('_', '-')}"


def package_version(bundle: Bundle) -> str:
    """The model's version; `1.2.0-rc.1` becomes `1.2.0~rc.1`, which dpkg sorts before `1.2.0`.

    Raises:
        ModelError: `version-unsuitable`; dpkg wants a digit first.
    """
    version = bundle.manifest.version.replace("-", "~").replace("_", "+")
    if not re.fullmatch(VERSION, version):
        raise ModelError(
            "version-unsuitable",
            f"a Debian package cannot have the version {bundle.manifest.version!r:.80}",
            where=str(bundle.path),
            hint="choose one with --option deb.version=1.2.3, or as `version` in [model], and build again",
        )
    return version


def architecture(bundle: Bundle) -> str:
    """dpkg's name of the target's architecture; `all` where the target has none.

    Raises:
        ModelError: `architecture-unknown`.
    """
    arch = bundle.manifest.target.facts.get("arch")
    if arch is None:
        return "all"
    try:
        return _ARCHITECTURES[str(arch).lower()]
    except KeyError as error:
        raise ModelError(
            "architecture-unknown",
            f"dpkg has no known name for the target's architecture {str(arch)!r:.80}",
            where=str(bundle.path),
            hint="name it with --option deb.architecture=…; `dpkg-architecture -L` lists all",
        ) from error


def dependencies(bundle: Bundle) -> tuple[str, ...]:
    """What must be installed for the engine to load: TensorRT's own package, of the release that engines fit.

    Other runtimes come without packages in Debian; the user names them.
    """
    runtime = bundle.manifest.runtime
    if runtime.kind != "tensorrt" or runtime.facts.get("product") == "tensorrt-rtx":
        return ()
    known = re.match(r"(\d+)\.(\d+)(?:\.|$)", runtime.version or "")
    if known is None:
        return ()
    major, minor = int(known[1]), int(known[2])
    library = f"libnvinfer{major}"
    return f"{library} (>= {major}.{minor})", f"{library} (<< {major}.{minor + 1})"


def control_text(control: Control, bundle: Bundle, items: Sequence[Item]) -> str:
    """The file `control`."""
    manifest = bundle.manifest
    kib = sum(-(-item.size // 1024) for item in items)
    fields = {
        "Package": control.package,
        "Version": control.version,
        "Architecture": control.architecture,
        "Maintainer": control.maintainer,
        "Installed-Size": str(kib),
        "Depends": ", ".join(control.depends),
        "Section": control.section,
        "Priority": "optional",
        "Description": _line(f"{manifest.name} {manifest.version} for {manifest.target.name}")
        + f"\n A neural network as an engine of {_line(manifest.runtime.kind)}, with the inputs and outputs"
        "\n by which a device tests it.",
        "Edgetool-Digest": bundle.content_digest,
        "Edgetool-Compatibility": _line(manifest.target.compatibility),
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items() if value)


def md5sums(items: Sequence[Item]) -> str:
    """The file with which `dpkg --verify` finds damage; against attackers there is the bundle's signature."""
    lines = []
    for item in items:
        with item.path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        lines.append(f"{digest}  {item.name.removeprefix('./')}\n")
    return "".join(lines)


def _line(text: str) -> str:
    """One line of printable characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
