"""`edgetool blame` where a pass scaled tensors and renamed them: their layers are found all the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool.blame.measure import blame
from edgetool.blame.restored import restored
from edgetool.blame.variants import with_outputs
from edgetool.engine.reference import open_reference
from edgetool.graph import load, save
from edgetool.passes.base import Rescaled
from edgetool_passes.quantize_static import QuantizeStatic
from tests.compress.quantize_networks import images, mobile_block
from tests.quantize.conftest import apply_pass  # noqa: F401 (a fixture)

WEIGHTED = {"stem", "wide", "deep", "thin", "head"}


@pytest.mark.parametrize("cap", [6.0, None], ids=["clip", "relu"])
def test_equalized_layers_are_found_and_measured(tmp_path: Path, apply_pass: Any, cap: float | None) -> None:  # noqa: F811
    model = mobile_block(tmp_path, cap=cap)
    result = apply_pass(QuantizeStatic, model, images(16), equalization=0.5).result
    original, compressed = load(model.path), load(result.model.path)

    def layers(rescaled: tuple[Rescaled, ...]) -> dict[str, Any]:
        found = blame(
            original, compressed, images(3, seed=9),
            open_reference=lambda path: open_reference(path, 1),
            worst=2, progress=lambda done, total, what: None, rescaled=rescaled,
        )  # fmt: skip
        assert found.unmatched == 0
        return {row.layer: row for row in found.layers}

    assert len(layers(())) == 1, "only the outputs have one name in both networks"
    found = layers(result.rescaled)
    assert found.keys() >= WEIGHTED
    assert {found[name].tensor for name in WEIGHTED} == {"stem", "wide", "deep", "thin", "logits"}
    # A wrong factor would leave no signal; int8 leaves much, and takes some.
    assert all(20 < found[name].error.alone < 60 for name in WEIGHTED)
    assert sum(row.error.output is not None for row in found.values()) == 2


def test_tensors_that_were_scaled_twice_get_both_meanings_back(tmp_path: Path) -> None:
    first, second = np.array([2, 4], np.float32), np.array([0.5, 8], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Div", ["x", "both"], ["a2"], "scale"),
            helper.make_node("Mul", ["a2", "both"], ["y"], "back"),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 3])],
        [numpy_helper.from_array((first * second)[:, None], "both")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    steps = (Rescaled({"a1": "a", "gone": "lost"}, (2.0, 4.0)), Rescaled({"a2": "a1"}, (0.5, 8.0)))
    save(with_outputs(restored(model, steps), {"a": 1, "a1": 1, "a2": 1}), tmp_path / "m.onnx")
    x = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    with open_reference(tmp_path / "m.onnx", 1) as runner:
        found = runner.infer({"x": x})
    np.testing.assert_allclose(found["a"], x)
    np.testing.assert_allclose(found["a1"], x / first[:, None])
    np.testing.assert_allclose(found["a2"], x / (first * second)[:, None])
    np.testing.assert_allclose(found["y"], x)


def test_the_command_finds_them(tmp_path: Path, run_cli: Any) -> None:
    mobile_block(tmp_path)
    np.savez(tmp_path / "samples.npz", image=np.concatenate([row["image"] for row in images(4)]))
    (tmp_path / "targets.toml").write_text(
        'schema = 1\n[model]\nsource = "mobile.onnx"\n[data]\ncalibration = "samples.npz"\n'
        '[recipes.int8]\npasses = [{ use = "quantize-static" }]\n'
        '[targets.t]\nbackend = "onnxruntime"\nrecipe = "int8"\n'
    )
    done = run_cli("blame", "--target", "t", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    layers = json.loads(done.stdout.splitlines()[-1])["layers"]
    assert {row["layer"] for row in layers} >= WEIGHTED
