"""What a registry shows of a bundle: the tag, and annotations of the manifest."""

from __future__ import annotations

import re

from edgetool.bundle.read import Bundle
from edgetool.errors import ModelError

TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"


def tag_of(bundle: Bundle, *, option: str) -> str:
    """The model's version, where `+` becomes `_`; the error names the option that replaces it.

    Raises:
        ModelError: `version-unsuitable`.
    """
    tag = bundle.manifest.version.replace("+", "_")
    if not re.fullmatch(TAG, tag):
        raise ModelError(
            "version-unsuitable",
            f"no registry takes {bundle.manifest.version!r:.80} for a tag",
            where=str(bundle.path),
            hint=f"choose one with --option {option}=1.2.3, or as `version` in [model], and build again",
        )
    return tag


def annotations_of(bundle: Bundle) -> dict[str, str]:
    """For the manifest: the keys that OCI defines, and what a device compares before it loads the engine."""
    manifest = bundle.manifest
    known = {
        "org.opencontainers.image.title": manifest.name,
        "org.opencontainers.image.version": manifest.version,
        "org.opencontainers.image.created": manifest.created,
        "org.opencontainers.image.licenses": manifest.source.license,
        "edgetool.target": manifest.target.name,
        "edgetool.compatibility": manifest.target.compatibility,
        "edgetool.content-digest": bundle.content_digest,
    }
    return {key: value for key, value in known.items() if value is not None}
