"""`rauc`: a bundle for RAUC, of which each block can be checked while it is read (verity), or the whole (plain)."""

from __future__ import annotations

import hashlib
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pydantic

from edgetool.artifact import Facts
from edgetool.bundle.read import Bundle
from edgetool.exporters import ExportContext, Exporter, ExporterOptions
from edgetool.trust.signer import Signer
from edgetool_firmware.cms import require_purpose, sign_detached, sign_inline
from edgetool_firmware.device import carried, script, sha256
from edgetool_firmware.names import DevicePath, model_path
from edgetool_firmware.rauc.manifest import Manifest, Verity
from edgetool_firmware.rauc.squashfs import Compression, require_program, squash_folder, squash_items
from edgetool_firmware.rauc.verity import BLOCK, hash_tree
from edgetool_firmware.ustar import Ustar

_HOOK = "hook.sh"
_LENGTH = 8
"""Bytes of the signature's length, which ends a bundle."""

Line = Annotated[str, pydantic.StringConstraints(min_length=1, pattern=r"^[^\x00-\x1f\x7f]+$")]
SlotClass = Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z0-9_-]+$")]


class RaucOptions(ExporterOptions):
    """What RAUC is told."""

    compatible: Line = pydantic.Field(description="what the device's system.conf must have as `compatible`")
    install: Literal["files", "slot"] = pydantic.Field(
        "files",
        description="`files`: a hook puts the bundle at `path`, beside the one in use; `slot`: RAUC writes a squashfs "
        "image to the inactive slot of a class, and a hook checks it there",
    )
    slot: SlotClass = pydantic.Field("models", description="class of slots in the device's system.conf")
    path: DevicePath | None = pydantic.Field(
        None, description="with `files`, where the bundle lies on the device; /var/lib/edgetool/models/NAME if left out"
    )
    layout: Literal["verity", "plain"] = pydantic.Field(
        "verity", description="format of the bundle; `plain` is for devices without device-mapper or RAUC before 1.5"
    )
    compression: Compression = pydantic.Field("gzip", description="of the squashfs; the device's kernel must know it")
    description: Line | None = pydantic.Field(None, description="for `rauc info`; name and target if left out")
    purpose: Literal["emailProtection", "codeSigning"] = pydantic.Field(
        "emailProtection",
        description="what the device wants the certificate to be for: codeSigning where system.conf has "
        "`check-purpose=codesign`",
    )


class Rauc(Exporter[RaucOptions]):
    """squashfs with a manifest, a hook and one image; behind it the hash tree, the signature, and its length."""

    Options: ClassVar[type[RaucOptions]] = RaucOptions
    suffix = ".raucb"
    signing = "required"
    certified = True

    def export(self, bundle: Bundle, destination: Path, context: ExportContext) -> Facts:
        signer = context.signer
        if signer is None:
            raise ValueError("the framework gives every signed format a key")
        require_program()
        require_purpose(signer, code_signing=self.options.purpose == "codeSigning")
        with tempfile.TemporaryDirectory(dir=destination.parent) as scratch:
            content = Path(scratch, "content")
            content.mkdir()
            content.chmod(0o755)
            manifest = self._fill(content, bundle, context)
            outer = "none" if self.options.install == "slot" else self.options.compression
            squash_folder(content, destination, created=context.created, compression=outer)
        _seal(destination, manifest, signer)
        return {
            "compatible": manifest.compatible,
            "layout": manifest.layout,
            "install": self.options.install,
            "deterministic": signer.deterministic,
        }

    def _fill(self, content: Path, bundle: Bundle, context: ExportContext) -> Manifest:
        """Write image, hook and manifest; what is compressed is compressed once."""
        options, found = self.options, carried(bundle, context)
        if options.install == "files":
            image = content / "model.tar"
            with image.open("xb") as file, Ustar(file, created=context.created) as archive:
                for item in found:
                    archive.add_file(item.name, item.path)
            hook = script(_front("install.sh"), path=options.path or model_path(bundle))
        else:
            image = content / "model.img"
            squash_items(found, image, created=context.created, compression=options.compression)
            hook = script(_front("check.sh"))
        manifest = Manifest(
            compatible=options.compatible,
            version=bundle.manifest.version,
            description=options.description or f"{bundle.manifest.name} for {bundle.manifest.target.compatibility}",
            layout=options.layout,
            slot=options.slot,
            filename=image.name,
            size=image.stat().st_size,
            sha256=sha256(image).hex(),
            hook=_HOOK,
            when="install" if options.install == "files" else "post-install",
        )
        (content / _HOOK).write_text(hook)
        (content / _HOOK).chmod(0o755)
        (content / "manifest.raucm").write_text(manifest.text())
        for path in (image, content / "manifest.raucm"):
            path.chmod(0o644)
        return manifest


def _seal(path: Path, manifest: Manifest, signer: Signer) -> None:
    """Append the signature, and with verity the tree that it is about."""
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(bytes(max(-size % BLOCK, 2 * BLOCK - size)))  # RAUC refuses an image of one block
    if manifest.layout == "verity":
        # The salt only has to differ from content to content: taken from it, equal bundles have equal bytes.
        salt = hashlib.sha256(b"verity salt " + manifest.text().encode()).digest()
        root, tree = hash_tree(path, salt=salt)
        signed = manifest.text(Verity(root.hex(), salt.hex(), len(tree))).encode()
        message = sign_inline(signed, signer)
    else:
        tree, message = b"", sign_detached(sha256(path), signer)
    with path.open("ab") as file:
        file.write(tree + message + len(message).to_bytes(_LENGTH, "big"))


def _front(name: str) -> str:
    return files(__package__).joinpath(name).read_text()
