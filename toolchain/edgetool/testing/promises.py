"""Checks that both conformance classes share; each fails with what was promised and what was seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pydantic
import pytest

from edgetool.artifact import Facts
from edgetool.backends.base import AnyBackend
from edgetool.graph import load
from edgetool.graph.walk import graphs
from edgetool.passes.base import AnyPass
from edgetool.problem import Problem
from edgetool.testing.isolation import HEAVY, imported_by

if TYPE_CHECKING:
    import numpy as np

Kind: TypeAlias = type[AnyPass] | type[AnyBackend]
"""A class of a plugin, with its `Options`."""


def folder_digests(folder: Path) -> dict[str, str]:
    """Relative path -> sha256, of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def check_options(kind: Kind, options: Mapping[str, Any]) -> None:
    """Options are closed, immutable, and every field says what it is for."""
    fields = kind.Options.model_fields
    undocumented = [name for name, field in fields.items() if not field.description]
    assert not undocumented, f"{kind.Options.__name__}: give {', '.join(undocumented)} a description"
    with pytest.raises(pydantic.ValidationError):
        kind.Options.model_validate({**options, "no_such_option": 1})
    parsed = kind.Options.model_validate(options)
    for name in fields:
        with pytest.raises(pydantic.ValidationError):
            setattr(parsed, name, getattr(parsed, name))
    # The plan writes options into cache keys and into another process's request.
    assert kind.Options.model_validate_json(parsed.model_dump_json()) == parsed, "options do not survive JSON"


def check_light(kind: Kind, options: Mapping[str, Any], then: str = "") -> None:
    """The class's module can be imported and its options parsed without any heavy import.

    Args:
        kind: the class.
        options: of the instance that is made.
        then: statements about the instance `subject` to run as well.
    """
    module, name = kind.__module__, kind.__qualname__
    assert "<locals>" not in name, f"{name} has to be a class of its module, so that a loader string can name it"
    code = f"from {module} import {name} as kind\nsubject = kind(kind.Options(**{dict(options)!r}))\n{then}"
    heavy = imported_by(code) & HEAVY
    assert not heavy, f"{module} imports {', '.join(sorted(heavy))} too early: import inside the methods"


def check_problems(problems: Iterable[Problem], model: Path) -> None:
    """Refusals are data: a reason, and names of nodes that the model has."""
    known = {node.name for graph in graphs(load(model, weights=False).graph) for node in graph.node}
    for problem in problems:
        assert isinstance(problem, Problem), f"{problem!r} is not a Problem"
        assert problem.reason.strip(), "a Problem without a reason"
        unknown = [name for name in problem.nodes if name not in known and "#" not in name]
        assert not unknown, f"{problem.reason!r} blames {unknown}, which the model does not have"


def check_facts(facts: Facts) -> None:
    """Facts go into the manifest, so JSON has to carry them without loss."""
    assert json.loads(json.dumps(dict(facts))) == dict(facts), "facts have to be plain JSON values with string keys"


def cosine(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """Cosine of the angle between two arrays, as flat float64 vectors; 1 when both are zero or empty."""
    import numpy as np

    x, y = (np.asarray(array).astype(np.float64).ravel() for array in (a, b))
    lengths = float(np.linalg.norm(x) * np.linalg.norm(y))
    if lengths == 0:
        return 1.0 if np.array_equal(x, y) else 0.0
    return float(x @ y) / lengths


def check_agreement(
    expected: Mapping[str, np.ndarray[Any, Any]],
    actual: Mapping[str, np.ndarray[Any, Any]],
    *,
    min_cosine: float,
    what: str,
) -> None:
    """Same outputs, same shapes, finite where the expected ones are, and close."""
    import numpy as np

    assert set(actual) >= set(expected), f"{what}: outputs {sorted(set(expected) - set(actual))} are missing"
    for name, wanted in expected.items():
        got = actual[name]
        assert got.shape == wanted.shape, f"{what}: {name} has shape {got.shape}, not {wanted.shape}"
        if wanted.dtype.kind in "OUSb":
            assert np.array_equal(got, wanted), f"{what}: {name} differs"
            continue
        assert np.isfinite(got.astype(np.float64)).all(), f"{what}: {name} is not finite"
        found = cosine(wanted, got)
        assert found >= min_cosine, f"{what}: {name} has cosine {found:.6f}, less than {min_cosine}"
