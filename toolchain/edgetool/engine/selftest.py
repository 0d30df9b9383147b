"""The self-test that goes into a bundle, for the backend that built its engine."""

from __future__ import annotations

from pathlib import Path

from edgetool.artifact import Engine, Lowering
from edgetool.backends.base import Backend
from edgetool.bundle.layout import MODEL_FOLDER
from edgetool.engine.backend import BuiltEngine
from edgetool.plugin.loading import load_object
from edgetool.selftest import selftest_sources


def selftest_of(engine: BuiltEngine, golden: Path | None) -> dict[str, bytes]:
    """What becomes `src/`; empty where nothing is known of the outputs, or the backend has no self-test."""
    if golden is None:
        return {}
    plan = engine.backend
    kind = load_object(plan.loader, Backend, what=plan.name)
    own = kind(kind.Options.model_validate(plan.options), plan.site).device_sources(_record(engine))
    return selftest_sources(f"{MODEL_FOLDER}/{engine.entry}", golden, own) if own else {}


def _record(engine: BuiltEngine) -> Engine:
    return Engine(
        backend=engine.backend.name,
        directory=engine.directory,
        entry=engine.entry,
        precision=engine.precision,
        signature=engine.signature,
        lowerings=tuple(Lowering(str(row["name"]), str(row["summary"]), int(row["count"])) for row in engine.lowerings),
        facts=engine.facts,
    )
