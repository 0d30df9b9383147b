"""Differences against the formulas written out, metrics against counting by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetool.errors import ConfigError, HostError
from edgetool.validate import difference as module
from edgetool.validate.difference import DifferenceSum, difference, rounded
from edgetool.validate.metrics import open_metric, pearson, top1, top5
from edgetool.validate.outputs import KeptOutputs, kept_outputs
from edgetool.validate.tolerance import tolerance_of


def noisy(seed: int, shape: tuple[int, ...], level: float) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    reference = generator.normal(size=shape).astype(np.float32)
    return reference, (reference + level * generator.normal(size=shape)).astype(np.float32)


@pytest.mark.parametrize("chunk", [1 << 20, 7])
def test_the_figures_over_several_feeds(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    pairs = [noisy(seed, (3, 5, 11), 0.1 * (seed + 1)) for seed in range(4)]
    total = DifferenceSum("y")
    for reference, engine in pairs:
        total.add(reference, engine)
    found = total.result()
    r = np.concatenate([a.ravel() for a, _ in pairs]).astype(np.float64)
    e = np.concatenate([b.ravel() for _, b in pairs]).astype(np.float64)
    assert found.max_abs == np.abs(r - e).max()
    assert found.relative == pytest.approx(np.abs(r - e).max() / np.abs(r).max())
    assert found.cosine == pytest.approx(r @ e / np.linalg.norm(r) / np.linalg.norm(e))
    assert found.sqnr_db == pytest.approx(10 * np.log10((r**2).sum() / ((r - e) ** 2).sum()))
    worst = min(float(a.ravel() @ b.ravel() / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in pairs)
    assert found.cosine_worst == pytest.approx(worst, abs=1e-6)
    rows_r, rows_e = r.reshape(-1, 11), e.reshape(-1, 11)
    assert found.top1 == (rows_r.argmax(1) == rows_e.argmax(1)).mean()
    in_five = [row_r.argmax() in np.argsort(-row_e)[:5] for row_r, row_e in zip(rows_r, rows_e, strict=True)]
    assert found.top5 == np.mean(in_five)


def test_equal_outputs_have_infinite_sqnr_which_json_calls_null() -> None:
    found = difference("y", np.ones((2, 3), np.float32), np.ones((2, 3), np.float32))
    assert (found.sqnr_db, found.cosine, found.equal) == (math.inf, 1.0, 1.0)
    assert found.to_json()["sqnr_db"] is None


def test_all_zero_references() -> None:
    zero, noise = np.zeros((1, 4), np.float32), np.full((1, 4), 1e-8, np.float32)
    assert difference("y", zero, zero).cosine == 1.0
    assert difference("y", zero, noise).cosine == 0.0
    assert tolerance_of("float32").accepts(difference("y", zero, noise))
    assert not tolerance_of("float32").accepts(difference("y", zero, noise * 1e4))


def test_infinite_values_do_not_spoil_the_figures_of_the_others() -> None:
    reference = np.array([[1.0, -np.inf, 2.0, np.nan]], np.float32)
    found = difference("y", reference, np.array([[1.5, -np.inf, 2.0, np.nan]], np.float32))
    assert found.max_abs == 0.5
    assert found.equal == 0.75


def test_integers_and_strings_are_counted() -> None:
    assert difference("y", np.array([1, 2, 3, 4]), np.array([1, 2, 3, 5])).equal == 0.75
    words = np.array(["a", "b"], dtype=object)
    assert difference("y", words, np.array(["a", "c"], dtype=object)).equal == 0.5


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_rounding_keeps_six_digits_and_is_stable(value: float) -> None:
    once = rounded(value)
    assert once is not None
    assert rounded(once) == once
    assert math.isclose(once, value, rel_tol=1e-5, abs_tol=1e-300)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(2, 9), st.integers(1, 30))
def test_chunks_do_not_change_the_result(rows: int, width: int, chunk: int) -> None:
    reference, engine = noisy(rows, (rows, width), 0.3)
    whole = difference("y", reference, engine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", chunk)
        pieces = difference("y", reference, engine)
    assert pieces.top1 == whole.top1
    assert pieces.cosine == pytest.approx(whole.cosine, rel=1e-12)


def test_top_k() -> None:
    scores = np.array([[0.1, 0.9, 0, 0, 0, 0], [6, 5, 4, 3, 2, 1]], np.float32)
    outputs = [{"y": scores}, {"y": scores[:1]}]
    assert top1(outputs, [np.array([1, 5]), 1]) == pytest.approx(2 / 3)
    assert top5(outputs, [np.array([1, 5]), 1]) == pytest.approx(2 / 3)
    assert top5(outputs, [np.array([1, 4]), 1]) == 1.0


def test_pearson_is_numpys() -> None:
    a, b = noisy(0, (20,), 0.5)
    assert pearson([{"y": row[None]} for row in a], list(b)) == pytest.approx(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize("label", [np.array([0, 1]), 7, -1, "cat"])
def test_labels_that_do_not_go_with_the_output(label: object) -> None:
    with pytest.raises(ConfigError) as caught:
        top1([{"y": np.zeros((1, 4), np.float32)}], [label])
    assert caught.value.code == "bad-metric-data"


def test_a_users_metric(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def score(outputs, labels):\n"
        "    assert isinstance(outputs, list) and isinstance(labels, list)\n"
        "    return sum(float(o['y'][0]) == l for o, l in zip(outputs, labels)) / len(labels)\n"
        "def text(outputs, labels): return 'good'\n"
        "def nan(outputs, labels): return float('nan')\n"
    )
    metric = open_metric("mine:score", root=tmp_path)
    assert metric.evaluate([{"y": np.array([1.0])}, {"y": np.array([2.0])}], [1, 3]) == 0.5
    for name in ("text", "nan"):
        with pytest.raises(ConfigError) as caught:
            open_metric(f"mine:{name}", root=tmp_path).evaluate([], [])
        assert caught.value.code == "bad-metric"


def test_a_misspelt_metric(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_metric("top_1", root=tmp_path)
    assert caught.value.hint == "did you mean 'top1'?"


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgetool.validate.outputs.MEMORY_BYTES", 0)
    with Path("/dev/full").open("r+b", buffering=0) as full, pytest.raises(HostError) as caught:
        KeptOutputs(full).append({"y": np.ones(4)})
    assert caught.value.code == "disk-full"


def test_large_outputs_go_to_disk_and_read_back_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgetool.validate.outputs.MEMORY_BYTES", 100)
    rows = [{"y": noisy(i, (3, 4), 1)[0], "n": np.arange(i, i + 5), "empty": np.zeros((0, 2))} for i in range(4)]
    with kept_outputs() as kept:
        for row in rows:
            kept.append(row)
        assert isinstance(kept, KeptOutputs)
        assert sum(isinstance(row["y"], np.memmap) for row in kept) == 3
        for found, wanted in zip(kept, rows, strict=True):
            for name in wanted:
                np.testing.assert_array_equal(found[name], wanted[name])
