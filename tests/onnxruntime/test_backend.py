"""The ONNX Runtime backend keeps the contract, in each of its forms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgetool.artifact import Engine, Model
from edgetool.backends import Site
from edgetool.context import BuildContext
from edgetool.errors import DeviceError, IntegrityError
from edgetool.signature import Signature, TensorSpec
from edgetool.testing import ALL_MODELS, BackendConformance, feeds_for, tiny_cnn, tiny_int8_cnn
from edgetool_onnxruntime.backend import OnnxRuntime
from edgetool_onnxruntime.options import OnnxRuntimeOptions

CONTEXT = BuildContext(threads=1)


class TestOnnx(BackendConformance):
    backend = OnnxRuntime
    models = ALL_MODELS


class TestOrt(BackendConformance):
    backend = OnnxRuntime
    options = {"format": "ort"}
    models = ALL_MODELS


class TestOrtForArm(BackendConformance):
    """Built for another processor family, and still right on this one."""

    backend = OnnxRuntime
    options = {"format": "ort"}
    models = (tiny_cnn, tiny_int8_cnn)
    facts = {"arch": "aarch64"}


class TestNothingOptimized(BackendConformance):
    backend = OnnxRuntime
    options = {"graph_optimization": "disabled", "lower_int8": "never", "execution_mode": "parallel"}
    models = (tiny_cnn, tiny_int8_cnn)


class TestOtherProvider(BackendConformance):
    """Azure's provider is in every wheel and takes no local node: all of them fall to the CPU, visibly."""

    backend = OnnxRuntime
    options = {"providers": ["AzureExecutionProvider", "CPUExecutionProvider"]}
    models = (tiny_cnn,)
    test_probe_imports_nothing_heavy = None  # which providers there are is known to the runtime alone


def _build(model: Model, directory: Path, **options: object) -> tuple[OnnxRuntime, Engine]:
    backend = OnnxRuntime(OnnxRuntimeOptions.model_validate(options))
    directory.mkdir()
    return backend, backend.build(model, directory, CONTEXT)


def test_float_engine_is_the_model_byte_by_byte(tmp_path: Path) -> None:
    model = tiny_cnn(tmp_path)
    _, engine = _build(model, tmp_path / "engine")
    assert engine.path.read_bytes() == model.path.read_bytes()
    assert (engine.precision, engine.lowerings) == ("float32", ())


def test_external_data_come_along(tmp_path: Path) -> None:
    import onnx

    model = tiny_cnn(tmp_path)
    proto = onnx.load(model.path)
    (tmp_path / "big").mkdir()
    path = tmp_path / "big" / "big.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    backend, engine = _build(replace(model, path=path), tmp_path / "engine")
    assert sorted(part.name for part in engine.directory.iterdir()) == ["model.onnx", "weights.bin"]
    feeds = feeds_for(model.signature)
    with backend.open(engine, CONTEXT) as runner:
        result = runner.infer(feeds)["y"]
    whole, one_file = _build(model, tmp_path / "one")
    with whole.open(one_file, CONTEXT) as runner:
        assert np.array_equal(runner.infer(feeds)["y"], result)


def test_lowering_is_recorded_and_harmless(tmp_path: Path) -> None:
    model = tiny_int8_cnn(tmp_path)
    backend, engine = _build(model, tmp_path / "engine")
    plain_backend, plain = _build(model, tmp_path / "plain", lower_int8="never")
    assert engine.precision == plain.precision == "int8"
    assert "int8-to-uint8" in [lowering.name for lowering in engine.lowerings]
    assert engine.facts["activations"] == "uint8"
    assert plain.lowerings == ()
    feeds = feeds_for(model.signature, "max")
    with backend.open(engine, CONTEXT) as runner, plain_backend.open(plain, CONTEXT) as other:
        np.testing.assert_allclose(runner.infer(feeds)["y"], other.infer(feeds)["y"], atol=2e-2)


def test_arm_keeps_signed_activations(tmp_path: Path) -> None:
    backend = OnnxRuntime(OnnxRuntimeOptions(), Site(facts={"arch": "aarch64"}))
    (tmp_path / "engine").mkdir()
    engine = backend.build(tiny_int8_cnn(tmp_path), tmp_path / "engine", CONTEXT)
    assert "int8-to-uint8" not in [lowering.name for lowering in engine.lowerings]


def test_pinned_options_are_in_the_facts(tmp_path: Path) -> None:
    _, engine = _build(tiny_cnn(tmp_path), tmp_path / "engine", graph_optimization="basic", spinning=True)
    assert engine.facts["runtime"] == "onnxruntime"
    assert engine.facts["graph_optimization_level"] == "basic"
    assert engine.facts["providers"] == {"CPUExecutionProvider": {}}
    entries = engine.facts["session_entries"]
    assert isinstance(entries, dict)
    assert entries["session.intra_op.allow_spinning"] == "1"


def test_missing_provider_is_never_replaced_by_the_cpu(tmp_path: Path) -> None:
    backend, engine = _build(tiny_cnn(tmp_path), tmp_path / "engine", providers=["CUDAExecutionProvider"])
    with pytest.raises(DeviceError) as caught:
        backend.open(engine, CONTEXT)
    assert (caught.value.code, caught.value.exit_code) == ("provider-missing", 6)
    assert "onnxruntime-gpu" in str(caught.value.hint)


def test_engine_with_other_inputs_than_recorded(tmp_path: Path) -> None:
    backend, engine = _build(tiny_cnn(tmp_path), tmp_path / "engine")
    other = Signature((TensorSpec("image", "float32", (1, 3, 8, 8)),), engine.signature.outputs)
    with pytest.raises(IntegrityError, match="other inputs"):
        backend.open(replace(engine, signature=other), CONTEXT)


def test_target_threads_are_obeyed(tmp_path: Path) -> None:
    backend, engine = _build(tiny_cnn(tmp_path), tmp_path / "engine")
    tasks = Path("/proc/self/task")
    before = len(list(tasks.iterdir()))
    with backend.open(engine, BuildContext(threads=3)):
        assert len(list(tasks.iterdir())) - before == 2
