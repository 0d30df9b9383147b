"""What users do wrong with calibration data, and the one line that they get."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgetool.artifact import Model
from edgetool.errors import ConfigError, EdgetoolError, ModelError
from edgetool_nncf.quantize import NncfQuantize
from edgetool_passes.quantize_static import QuantizeStatic
from tests.quantize.conftest import ApplyPass, Feed, pictures, save_model


@pytest.mark.parametrize("kind", [QuantizeStatic, NncfQuantize])
@pytest.mark.parametrize(("samples", "code"), [(None, "calibration-missing"), ([], "calibration-empty")])
def test_without_data(
    apply_pass: ApplyPass, residual_cnn: Model, kind: Any, samples: list[Feed] | None, code: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        apply_pass(kind, residual_cnn, samples)
    assert caught.value.code == code
    assert "[data]" in (caught.value.hint or "")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_sample_that_is_not_finite(apply_pass: ApplyPass, residual_cnn: Model, value: float) -> None:
    feeds = [dict(feed) for feed in pictures(4)]
    feeds[2]["image"] = feeds[2]["image"].copy()
    feeds[2]["image"][0, 1, 2, 3] = value
    with pytest.raises(ConfigError) as caught:
        apply_pass(QuantizeStatic, residual_cnn, feeds)
    assert caught.value.code == "calibration-not-finite"
    assert "sample 2" in caught.value.message
    assert "'image'" in caught.value.message


def test_model_that_overflows_on_fine_samples(apply_pass: ApplyPass, tmp_path: Any) -> None:
    nodes = [
        helper.make_node("Log", ["x"], ["log"], "log"),
        helper.make_node("MatMul", ["log", "w"], ["y"], "product"),
    ]
    model = save_model(tmp_path / "m.onnx", nodes, {"w": np.ones((2, 2), np.float32)}, {"x": (1, 2)}, {"y": (1, 2)})
    feeds = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[1, 0]], np.float32)}]
    with pytest.raises(ModelError) as caught:
        apply_pass(QuantizeStatic, model, feeds)
    assert caught.value.code == "non-finite-activation"
    assert "'log'" in caught.value.message


def test_one_sample_is_warned_about(apply_pass: ApplyPass, residual_cnn: Model) -> None:
    (notes,) = [apply_pass(QuantizeStatic, residual_cnn, [{"image": pictures(1)[0]["image"][:1]}]).notes]
    assert any("one calibration sample only" in note for note in notes)


def test_equal_samples_are_warned_about(apply_pass: ApplyPass, residual_cnn: Model) -> None:
    assert any("are the same" in note for note in apply_pass(QuantizeStatic, residual_cnn, pictures(1) * 4).notes)


def test_flat_samples_are_warned_about(apply_pass: ApplyPass, residual_cnn: Model) -> None:
    flat = [{"image": np.full((1, 3, 16, 16), value, np.float32)} for value in (0.1, 0.7)]
    assert any("one and the same value" in note for note in apply_pass(QuantizeStatic, residual_cnn, flat).notes)


def test_good_samples_are_not_warned_about(apply_pass: ApplyPass, residual_cnn: Model) -> None:
    assert apply_pass(QuantizeStatic, residual_cnn, pictures(4)).notes == []


def test_sample_of_the_wrong_shape_names_the_users_model(apply_pass: ApplyPass, residual_cnn: Model) -> None:
    with pytest.raises(EdgetoolError) as caught:
        apply_pass(QuantizeStatic, residual_cnn, [{"image": np.zeros((1, 4, 16, 16), np.float32)}])
    assert str(residual_cnn.path) in str(caught.value)
    assert "watched" not in str(caught.value)
