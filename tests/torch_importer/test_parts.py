"""The parts by themselves: points, feeds, calls, guards, reasons, opsets, and the routes' own checks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgetool.errors import ConfigError
from edgetool.signature import DimRange, TensorSpec
from edgetool_torch.calling import Parameter, parameters_of, plan_call
from edgetool_torch.feeds import between, example, points, random_feed, sample_feeds
from edgetool_torch.guards import witnesses
from edgetool_torch.outputs import choose
from edgetool_torch.reasons import blame

torch = pytest.importorskip("torch")

X = TensorSpec("x", "float32", ("batch", "time", 12))


def specs(*names: str) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, "float32", ("batch", 4)) for name in names)


def test_points_are_the_ends_one_between_and_the_corners() -> None:
    found = points({"batch": DimRange(1, 1, 8), "time": DimRange(7, 16, 26)})

    assert list(found[:3]) == [{"batch": 1, "time": 7}, {"batch": 8, "time": 26}, {"batch": 1, "time": 16}]
    assert {"batch": 1, "time": 26} in found
    assert {"batch": 8, "time": 7} in found
    assert len(found) == len({tuple(row.items()) for row in found}) <= 12


def test_no_dimension_is_one_point() -> None:
    assert points({}) == ({},)


@pytest.mark.parametrize(
    ("wanted", "size"),
    [(DimRange(1, 1, 8), 5), (DimRange(64, 128, 256), 192), (DimRange(1, 1, 2), 1), (DimRange(3, 3, 3), 3)],
)
def test_between_keeps_the_common_divisor(wanted, size) -> None:
    assert between(wanted) == size


def test_examples_avoid_one_and_each_other() -> None:
    dims = {"a": DimRange(1, 1, 8), "b": DimRange(1, 1, 8), "c": DimRange(1, 1, 1), "d": DimRange(32, 64, 96)}

    assert example(dims) == {"a": 2, "b": 3, "c": 1, "d": 32}
    assert example(dims, distinct=False)["b"] == 2


def test_random_integers_differ_by_seed_and_flags_are_flags() -> None:
    wanted = (TensorSpec("ids", "int64", (100,)), TensorSpec("flag", "bool", (100,)))
    feeds = [random_feed(wanted, {}, seed) for seed in range(3)]

    assert [int(feed["ids"].max()) for feed in feeds[:2]] == [2, 1]
    assert feeds[2]["ids"].max() > 10
    assert feeds[0]["flag"].dtype == np.bool_


def test_samples_are_cut_and_repeated() -> None:
    sample = {"x": np.arange(2 * 3 * 12, dtype=np.float64).reshape(2, 3, 12)}
    (feed,) = sample_feeds(iter([sample]), [X], {"batch": 1, "time": 5})

    assert feed["x"].shape == (1, 5, 12)
    assert feed["x"].dtype == np.float32
    np.testing.assert_array_equal(feed["x"][0, 3:], feed["x"][0, :2])


def test_scalars_stay_scalars() -> None:
    rate = TensorSpec("rate", "int64", ())
    (sample,) = sample_feeds([{"rate": np.int64(16_000)}], [rate], {})

    assert random_feed([rate], {}, 0)["rate"].shape == sample["rate"].shape == ()
    assert isinstance(sample["rate"], np.ndarray)


def forward(x, state, mask=None, *, scale=None, **others):
    """Only its signature is looked at."""


def test_calls_by_name() -> None:
    calling = plan_call(parameters_of(forward), specs("scale", "state.1", "x", "state.0", "extra"), source="net")
    values = {name: name.upper() for name in ("scale", "state.0", "state.1", "x", "extra")}

    assert calling.arguments(values) == (("X", ("STATE.0", "STATE.1")), {"scale": "SCALE", "extra": "EXTRA"})
    assert calling.by_parameter(values)["state"] == ("STATE.0", "STATE.1")
    assert calling.input_order == ("x", "state.0", "state.1", "scale", "extra")
    assert not calling.is_plain


def test_what_follows_a_left_out_parameter_is_named() -> None:
    parameters = [
        Parameter("x", "positional", True),
        Parameter("a", "positional", False),
        Parameter("b", "positional", False),
    ]

    assert plan_call(parameters, specs("x", "b"), source="net").arguments({"x": 1, "b": 2}) == ((1,), {"b": 2})


def test_dicts_of_tensors() -> None:
    calling = plan_call([Parameter("batch", "positional", True)], specs("batch.ids", "batch.mask"), source="net")

    assert calling.arguments({"batch.ids": 1, "batch.mask": 2}) == (({"ids": 1, "mask": 2},), {})


def test_calls_in_order_when_no_name_matches() -> None:
    parameters = [
        Parameter("x", "positional", True),
        Parameter("y", "positional", True),
        Parameter("args", "rest", False),
    ]
    calling = plan_call(parameters, specs("left", "right", "more"), source="net")

    assert calling.arguments({"left": 1, "right": 2, "more": 3}) == ((1, 2, 3), {})
    assert calling.by_parameter({"left": 1, "right": 2, "more": 3}) == {"x": 1, "y": 2, "args": (3,)}


@pytest.mark.parametrize(
    ("names", "message", "hint"),
    [
        (("x", "stat"), "has no parameter 'stat'", "did you mean 'state'?"),
        (("x",), "also needs state", "x, state, mask (optional)"),
        (("one",), "which takes 2 and optionally 1 more", "forward() takes: x, state"),
        (("a", "b", "c", "d"), "4 inputs are declared (a, b, c, d)", "forward() takes: x, state"),
    ],
)
def test_calls_that_do_not_fit(names, message, hint) -> None:
    parameters = [
        Parameter("x", "positional", True),
        Parameter("state", "positional", True),
        Parameter("mask", "positional", False),
    ]
    with pytest.raises(ConfigError) as caught:
        plan_call(parameters, specs(*names), source="net")

    assert caught.value.code == "inputs-mismatch"
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_outputs_by_name_in_order_or_refused() -> None:
    assert choose(("a", "b"), (), ("a",)) == ((0, "a_out"), (1, "b"))
    assert choose(("a", "b", "c"), ("c", "a"), ()) == ((2, "c"), (0, "a"))
    assert choose(("output",), ("logits",), ()) == ((0, "logits"),)
    with pytest.raises(ConfigError) as caught:
        choose(("a", "b"), ("x",), ())
    assert caught.value.code == "outputs-mismatch"


def test_witnesses_are_the_first_sizes_that_break_a_guard() -> None:
    dims = {"batch": DimRange(1, 2, 8), "time": DimRange(4, 4, 40)}
    texts = ["L['x'].size()[0] != 3", "L['x'].size()[1] < 32", "L['x'].size()[2] == 12", "open('x')", "1 / 0 == 1"]
    found = witnesses(texts, {"x": "x"}, [X], dims)

    assert [dict(row.sizes) for row in found] == [{"batch": 3, "time": 4}, {"batch": 2, "time": 32}]


def test_reasons_are_one_line_in_the_users_words() -> None:
    page = (
        "\x1b[96mFailed\x1b[0m to export\nNext steps:\n- You marked L['x'].size()[1] as dynamic but your code "
        "specialized it to be a constant (12)."
    )
    error = RuntimeError("wrapped")
    error.__cause__ = ValueError(page)

    assert blame(error, [X]) == ("dimension 'time' (x, axis 1) was specialised to 12", None)
    assert blame(RuntimeError("\x1b[96mfirst\x1b[0m line\nsecond"))[0] == "RuntimeError: first line"


def test_every_explanation_is_there_and_in_form() -> None:
    import re

    import edgetool_torch

    package = Path(edgetool_torch.__file__).parent
    codes = set()
    for file in package.glob("*.py"):
        codes |= set(re.findall(r"(?:ModelError|ConfigError)\(\s*\"([a-z-]+)\"", file.read_text()))
    codes |= {"untrusted-pickle", "weights-unreadable"}
    elsewhere = {"unknown-source"}
    for code in sorted(codes - elsewhere):
        lines = (package / "explanations" / f"{code}.md").read_text().splitlines()
        assert lines[0].startswith("# "), code
        assert re.fullmatch(r"Exit code [23]\.", lines[2]), code
    assert {path.stem for path in (package / "explanations").glob("*.md")} == codes - elsewhere
