"""Recurrences that read backwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from edgetool.artifact import Engine
from edgetool_c.backend import PlainC
from edgetool_c.options import COptions
from tests.c.conftest import CONTEXT
from tests.c.writing import random, reference, written


@pytest.mark.parametrize(
    "outputs",
    [("states", "last"), pytest.param(("states", ""), marks=pytest.mark.slow), ("", "last")],
    ids=["both", "states", "last"],
)
@pytest.mark.parametrize(
    "initial", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["initial state", "from zero"]
)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_gru_gives_what_the_reference_gives(
    direction: str, initial: bool, outputs: tuple[str, str], tmp_path: Path, build: Callable[..., Engine]
) -> None:
    time, hidden = 5, 4
    count = 2 if direction == "bidirectional" else 1
    constants = {
        "w": random(count, 3 * hidden, 3),
        "r": random(count, 3 * hidden, hidden, seed=1),
        "b": random(count, 6 * hidden, seed=2),
    }
    inputs = ["x", "w", "r", "b"]
    if initial:
        constants["h0"] = random(count, 1, hidden, seed=3)
        inputs += ["", "h0"]
    gru = helper.make_node(
        "GRU", inputs, list(outputs), name="gru", direction=direction, hidden_size=hidden, linear_before_reset=1
    )
    shapes = {"states": (time, count, 1, hidden), "last": (count, 1, hidden)}
    model = written(
        tmp_path / "m.onnx", [gru], [("x", (time, 1, 3))], [(o, shapes[o]) for o in outputs if o], constants
    )
    options = COptions(board="host")
    feeds = {"x": random(time, 1, 3, seed=4)}
    with PlainC(options).open(build(model, options), CONTEXT) as runner:
        found = runner.infer(feeds)
    for name, wanted in reference(model, feeds).items():
        assert np.abs(found[name] - wanted).max() <= 1e-5
