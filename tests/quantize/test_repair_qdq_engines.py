"""`repair-qdq`: what TensorRT refused it takes, and a real network keeps its accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from edgetool.artifact import Model
from edgetool.graph import read_model
from edgetool_passes.repair_qdq import RepairQdq
from tests.quantize.conftest import ApplyPass, cosine, pictures, run, sentences
from tests.quantize.elsewhere import quantized_elsewhere

IMAGE = {"image": ((1, 3, 16, 16), (2, 3, 16, 16), (4, 3, 16, 16))}


def build_for_rtx(path: Path, shapes: Mapping[str, tuple[tuple[int, ...], ...]]) -> tuple[bool, int]:
    """Whether TensorRT-RTX's parser accepts the model, and how large the engine is that it makes of it; 0 for none."""
    trt = pytest.importorskip("tensorrt_rtx")

    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(path)):
        return False, 0
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    profile = builder.create_optimization_profile()
    for name, (least, best, most) in shapes.items():
        profile.set_shape(name, least, best, most)
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    return True, 0 if engine is None else int(engine.nbytes)


def test_tensorrt_takes_what_it_refused(residual_cnn: Model, tmp_path: Path, apply_pass: ApplyPass) -> None:
    before = quantized_elsewhere(residual_cnn, tmp_path / "before.onnx", pictures(2), per_channel=True)
    assert build_for_rtx(before.path, IMAGE) == (False, 0)
    accepted, size = build_for_rtx(apply_pass(RepairQdq, before).result.model.path, IMAGE)
    assert accepted
    assert size > 100_000


def test_a_transformer_with_quantized_numbers(transformer_block: Model, tmp_path: Path, apply_pass: ApplyPass) -> None:
    """Constants of Mul and Div are stored as single integers; TensorRT builds none of that."""
    feeds = sentences(4)
    before = quantized_elsewhere(
        transformer_block, tmp_path / "before.onnx", feeds, op_types_to_quantize=["MatMul", "Mul", "Div", "Gather"]
    )
    applied = apply_pass(RepairQdq, before)
    assert applied.result.facts["scalars"] == 3
    new, old, exact = (run(path, feeds) for path in (applied.result.model.path, before.path, transformer_block.path))
    assert cosine(new, old) > 0.97
    assert cosine(new, exact) > cosine(old, exact) - 0.02
    shapes = {"ids": ((1, 8), (2, 8), (4, 8))}
    assert build_for_rtx(before.path, shapes) == (False, 0)
    accepted, size = build_for_rtx(applied.result.model.path, shapes)
    assert accepted
    assert size > 0


@pytest.mark.network
@pytest.mark.slow
def test_mobilenet(tmp_path: Path, apply_pass: ApplyPass) -> None:
    """Top-1 on 200 views of 20 photos with ONNX Runtime's defaults, before and after the repair."""
    from benchmarks.networks import prepare

    network = prepare("mobilenet_v2")
    feeds = [one for _, one in zip(range(10), network.feeds(network.calibration, batch=10), strict=False)]
    before = quantized_elsewhere(read_model(network.path), tmp_path / "before.onnx", feeds, per_channel=True)
    after = apply_pass(RepairQdq, before).result.model
    evaluation = list(network.feeds(network.evaluation, batch=10))
    answers = {path: run(path, evaluation) for path in (network.path, before.path, after.path)}
    top1 = {path: float((found.argmax(1) == network.labels()).mean()) for path, found in answers.items()}
    assert top1[after.path] >= top1[before.path] - 0.03
    assert build_for_rtx(before.path, {}) == (False, 0)
    shape = feeds[0]
    accepted, size = build_for_rtx(
        after.path, {name: ((1, *array.shape[1:]),) * 2 + (array.shape,) for name, array in shape.items()}
    )
    assert accepted
    assert size > 0
