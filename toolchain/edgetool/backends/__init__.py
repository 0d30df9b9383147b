"""Base types of backends: `Backend`, what it answers, and the `Runner` that it opens."""

from edgetool.backends.base import (
    HERE,
    AnyBackend,
    Availability,
    Backend,
    BackendOptions,
    DeviceSources,
    Evidence,
    Legalization,
    NodeEvidence,
    Placement,
    Site,
    Support,
)
from edgetool.context import BuildContext
from edgetool.runner import Feeds, Runner

__all__ = [
    "HERE",
    "AnyBackend",
    "Availability",
    "Backend",
    "BackendOptions",
    "BuildContext",
    "DeviceSources",
    "Evidence",
    "Feeds",
    "Legalization",
    "NodeEvidence",
    "Placement",
    "Runner",
    "Site",
    "Support",
]
