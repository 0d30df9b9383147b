"""The example backend keeps every promise, so the conformance class can be kept."""

from __future__ import annotations

from edgetool.testing import ALL_MODELS, BackendConformance, Interpreter


class TestInterpreter(BackendConformance):
    backend = Interpreter
    models = ALL_MODELS
    min_cosine = 1 - 1e-9
