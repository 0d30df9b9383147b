"""quantize-static with a precision for each layer: int16 activations, float layers, pools in integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from pydantic import ValidationError

from edgetool.context import BuildContext
from edgetool.graph import read_model
from edgetool_onnxruntime.backend import OnnxRuntime
from edgetool_openvino.backend import OpenVino
from edgetool_passes.quantize_static import QuantizeStatic, QuantizeStaticOptions
from tests.compress.quantize_networks import images, mobile_block
from tests.quantize.conftest import apply_pass, by_name, constant, cosine, producer, run  # noqa: F401 (a fixture)

Array = np.ndarray[Any, Any]


def _integers(proto: onnx.ModelProto, node: str, position: int = 0) -> str:
    """Type of the integers that an input of a node comes from; `float` where it does not."""
    dequantize = producer(proto, by_name(proto)[node].input[position])
    if dequantize is None or dequantize.op_type != "DequantizeLinear":
        return "float"
    return str(constant(proto, dequantize.input[2]).dtype)


def test_each_layer_has_the_precision_of_the_first_pattern(tmp_path: Path, apply_pass: Any) -> None:  # noqa: F811
    layers = {"deep": "int8-act16", "d*": "float", "wide": "float", "add": "int8-act16"}
    applied = apply_pass(QuantizeStatic, mobile_block(tmp_path), images(8), layers=layers)
    onnx.checker.check_model(applied.proto, full_check=True)
    found = {name: _integers(applied.proto, name) for name in ("stem", "wide", "deep", "thin", "add", "head")}
    assert found == {"stem": "int8", "wide": "float", "deep": "int16", "thin": "int8", "add": "int16", "head": "int8"}
    weights = [_integers(applied.proto, name, 1) for name in ("deep", "wide")]
    assert weights == ["int8", "float"]
    facts = applied.result.facts
    assert facts["activations_in_16_bits"] == 2
    assert facts["excluded"] == {"wide": "excluded by the recipe"}
    assert facts["opset"] == {"from": 17, "to": 21}


def test_exclude_wins_over_layers(tmp_path: Path, apply_pass: Any) -> None:  # noqa: F811
    options = {"exclude": ("wide",), "layers": {"*": "int8-act16"}}
    proto = apply_pass(QuantizeStatic, mobile_block(tmp_path), images(2), **options).proto
    assert _integers(proto, "wide") == "float"
    assert _integers(proto, "stem") == "int16"


def test_one_tensor_can_be_read_in_both_widths(tmp_path: Path, apply_pass: Any) -> None:  # noqa: F811
    """`stem_out` is read by the expansion and by the residual Add."""
    how = {"layers": {"add": "int8-act16"}, "equalization": 0}  # scaled tensors have other names
    proto = apply_pass(QuantizeStatic, mobile_block(tmp_path), images(4), **how).proto
    pairs = [node for node in proto.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "stem_out"]
    assert sorted(str(constant(proto, node.input[2]).dtype) for node in pairs) == ["int16", "int8"]
    scales = {str(constant(proto, node.input[2]).dtype): float(constant(proto, node.input[1])) for node in pairs}
    assert scales["int8"] * 127 == pytest.approx(scales["int16"] * 32767)


@pytest.mark.parametrize("kind", [OnnxRuntime, OpenVino])
def test_sixteen_bits_are_finer_on_both_runtimes(tmp_path: Path, apply_pass: Any, kind: Any) -> None:  # noqa: F811
    model = mobile_block(tmp_path)
    feeds = images(6, seed=4)
    expected = run(model.path, feeds)
    errors = {}
    for width in ("int8", "int8-act16"):
        how = {"layers": {"*": width}, "bias_correction": False, "equalization": 0}
        typed = apply_pass(QuantizeStatic, model, images(16), **how).result.model
        backend = kind(kind.Options())
        context = BuildContext(threads=1)
        (tmp_path / width).mkdir()
        with backend.open(backend.build(typed, tmp_path / width, context), context) as runner:
            actual = np.concatenate([runner.infer(feed)["logits"] for feed in feeds])
        errors[width] = float(((actual - expected) ** 2).mean())
    assert errors["int8-act16"] < 0.35 * errors["int8"], "what is left is the error of the weights"


def test_a_target_with_an_old_opset_refuses_16_bits(tmp_path: Path) -> None:
    model = mobile_block(tmp_path)

    def problems(**options: Any) -> list[str]:
        found = QuantizeStatic(QuantizeStaticOptions(**options)).check(model)
        return [problem.reason for problem in found if problem.severity == "refuse"]

    (reason,) = problems(layers={"head": "int8-act16"}, max_opset=20)
    assert "opset 21" in reason and "20" in reason
    assert problems(layers={"head": "int8-act16"}, max_opset=21) == []
    assert problems(layers={"head": "float"}, max_opset=13) == []
    assert problems(layers={"*": "float"}) != [], "nothing is left to quantize"


@pytest.mark.parametrize("layers", [{"head": "int4"}, {"head": "INT8"}, {"head": 8}])
def test_unknown_precisions_are_refused(layers: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="int8-act16"):
        QuantizeStaticOptions(layers=layers)


@pytest.mark.parametrize("strength", [-0.1, 1.5])
def test_equalization_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(ValidationError):
        QuantizeStaticOptions(equalization=strength)


def test_pools_between_quantized_layers_read_integers(tmp_path: Path, apply_pass: Any) -> None:  # noqa: F811
    """Here an Add stands between the convolution and the pool, so the pool stays float; without it, it does not."""
    model = mobile_block(tmp_path)
    assert apply_pass(QuantizeStatic, model, images(4), pools=True).result.facts["pools"] == 0
    proto = onnx.load(model.path)
    nodes = by_name(proto)
    nodes["pool"].input[0] = "thin"
    proto.graph.node.remove(nodes["add"])
    onnx.save(proto, model.path)
    direct = read_model(model.path, model.signature.dims)
    applied = apply_pass(QuantizeStatic, direct, images(16), pools=True)
    assert applied.result.facts["pools"] == 1
    assert _integers(applied.proto, "pool") == "int8"
    floated = apply_pass(QuantizeStatic, direct, images(2), pools=True, layers={"pool": "float"})
    assert _integers(floated.proto, "pool") == "float"
    held_out = images(8, seed=7)
    assert cosine(run(applied.result.model.path, held_out), run(direct.path, held_out)) > 0.995
