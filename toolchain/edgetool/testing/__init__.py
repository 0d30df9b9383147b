"""For authors of plugins: tiny models, a complete example backend, and the contracts as tests to inherit.

Needs pytest. Nothing of edgetool imports this package.
"""

from edgetool.testing.backend_conformance import BackendConformance, Built
from edgetool.testing.interpreter import Interpreter, open_with_interpreter
from edgetool.testing.isolation import HEAVY, imported_by
from edgetool.testing.models import (
    ALL_MODELS,
    MakeModel,
    foreign_operator,
    tiny_branches,
    tiny_cnn,
    tiny_int8_cnn,
    tiny_lstm,
    tiny_mlp,
    tiny_text,
)
from edgetool.testing.pass_conformance import PassConformance
from edgetool.testing.samples import GivenSamples, Samples, feeds_for

__all__ = [
    "ALL_MODELS",
    "HEAVY",
    "BackendConformance",
    "Built",
    "GivenSamples",
    "Interpreter",
    "MakeModel",
    "PassConformance",
    "Samples",
    "feeds_for",
    "foreign_operator",
    "imported_by",
    "open_with_interpreter",
    "tiny_branches",
    "tiny_cnn",
    "tiny_int8_cnn",
    "tiny_lstm",
    "tiny_mlp",
    "tiny_text",
]
