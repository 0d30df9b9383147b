"""Base types of backends: `Backend`, what it answers, and the `Runner` that it opens."""

from edgetool.backends.base import (
    AnyBackend,
    Availability,
    Backend,
    BackendOptions,
    Evidence,
    Feeds,
    Legalization,
    NodeEvidence,
    Placement,
    Runner,
    Support,
)
from edgetool.context import BuildContext

__all__ = [
    "AnyBackend",
    "Availability",
    "Backend",
    "BackendOptions",
    "BuildContext",
    "Evidence",
    "Feeds",
    "Legalization",
    "NodeEvidence",
    "Placement",
    "Runner",
    "Support",
]
