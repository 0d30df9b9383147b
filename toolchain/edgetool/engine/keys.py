"""What of a plugin decides its results, as parts of a key: of a step, of a search, of a conformance run."""

from __future__ import annotations

from typing import Any

from edgetool.engine.fingerprint import code_digest
from edgetool.engine.planned import Planned, PlannedBackend


def plugin_parts(row: Planned) -> dict[str, Any]:
    """Its class with these options, and the versions of all that acts with it."""
    return {
        "use": row.name,
        "revision": row.revision,
        "options": dict(row.options),
        "provider": row.provider,
        "code": code_digest(row.loader),
        "tools": dict(row.tools),
    }


def backend_parts(backend: PlannedBackend) -> dict[str, Any]:
    """The same, and where it builds. Not the host's name: an equal device elsewhere would build the same."""
    availability = backend.availability
    return {
        **plugin_parts(backend),
        "facts": dict(backend.site.facts),
        "builder": availability.builder if availability else None,
        "device": backend.device,
    }
