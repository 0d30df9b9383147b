"""What is known of Jetson boards and TensorRT releases: data in TOML, a source for every value."""

from edgetool_tensorrt.knowledge.chips import Chip, canonical_sm, chips, sm_of
from edgetool_tensorrt.knowledge.issues import KnownIssue, all_issues, known_issues
from edgetool_tensorrt.knowledge.jetpacks import JetPack, jetpack, jetpack_of, jetpacks
from edgetool_tensorrt.knowledge.opsets import max_opset, opsets

__all__ = [
    "Chip",
    "JetPack",
    "KnownIssue",
    "all_issues",
    "canonical_sm",
    "chips",
    "jetpack",
    "jetpack_of",
    "jetpacks",
    "known_issues",
    "max_opset",
    "opsets",
    "sm_of",
]
