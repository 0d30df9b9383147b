"""The runner's own logic, on emulated CUDA calls; on a GPU it is run by the tests with the marker `gpu`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from edgetool.errors import ConfigError, DeviceError, HostError, IntegrityError, ModelError, UnavailableError
from edgetool.signature import Signature, TensorSpec
from edgetool_tensorrt.cuda import Gpu
from edgetool_tensorrt.gpu_runner import GpuRunner
from tests.tensorrt.emulated_cuda import EmulatedCuda, EmulatedTensorRt, Status

SIGNATURE = Signature(
    inputs=(TensorSpec("x", "float32", ("n", 3)), TensorSpec("ids", "int64", ("n",))),
    outputs=(TensorSpec("y", "float32", ("n", 3)), TensorSpec("next", "int64", ("n",))),
)


def _module(*, ids: str = "int64", on_host: frozenset[str] = frozenset(), loads: bool = True) -> EmulatedTensorRt:
    return EmulatedTensorRt(
        {"x": "float32", "ids": ids},
        {"y": "float32", "next": ids},
        lambda arrays: {"y": arrays["x"] * 2, "next": arrays["ids"] + 1},
        shape_of=lambda shapes: {"y": shapes["x"], "next": shapes["ids"]},
        on_host=on_host,
        loads=loads,
    )


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "engine.plan"
    path.write_bytes(b"ftrt")
    return path


def _feeds(count: int) -> dict[str, np.ndarray]:
    return {"x": np.arange(count * 3, dtype="float32").reshape(count, 3), "ids": np.arange(count, dtype="int64")}


@pytest.mark.parametrize("ids", ["int64", "int32"])
@pytest.mark.parametrize("on_host", [frozenset(), frozenset({"ids", "next"})])
def test_results_have_the_types_of_the_signature_whatever_the_engine_holds(
    plan: Path, ids: str, on_host: frozenset[str]
) -> None:
    cuda = EmulatedCuda()
    with GpuRunner(_module(ids=ids, on_host=on_host), None, plan, SIGNATURE, gpu=Gpu(cuda)) as runner:
        for count in (2, 8, 1):  # buffers grow, and are larger than needed afterwards
            feeds = _feeds(count)
            results = runner.infer(feeds)
            np.testing.assert_array_equal(results["y"], feeds["x"] * 2)
            np.testing.assert_array_equal(results["next"], feeds["ids"] + 1)
            assert results["next"].dtype == "int64"
    assert cuda.alive == {}
    assert cuda.streams == 0


def test_a_value_that_the_engine_would_cut_off_is_refused(plan: Path) -> None:
    feeds = {**_feeds(1), "ids": np.array([2**40])}
    with (
        GpuRunner(_module(ids="int32"), None, plan, SIGNATURE, gpu=Gpu(EmulatedCuda())) as runner,
        pytest.raises(ModelError, match="do not fit int32"),
    ):
        runner.infer(feeds)


def test_a_shape_outside_of_the_profile_is_named(plan: Path) -> None:
    with (
        GpuRunner(_module(), None, plan, SIGNATURE, gpu=Gpu(EmulatedCuda())) as runner,
        pytest.raises(ModelError, match=r"\[9, 3\] of input 'x' is outside"),
    ):
        runner.infer(_feeds(9))


def test_memory_that_runs_out_is_the_machines_fault(plan: Path) -> None:
    with (
        GpuRunner(_module(), None, plan, SIGNATURE, gpu=Gpu(EmulatedCuda(memory=16))) as runner,
        pytest.raises(HostError) as caught,
    ):
        runner.infer(_feeds(8))
    assert caught.value.code == "gpu-out-of-memory"


def test_what_goes_wrong_on_the_device_comes_out(plan: Path) -> None:
    cuda = EmulatedCuda()
    with GpuRunner(_module(), None, plan, SIGNATURE, gpu=Gpu(cuda)) as runner:
        cuda.fault = Status.cudaErrorIllegalAddress
        with pytest.raises(ModelError, match="IllegalAddress"):
            runner.infer(_feeds(2))


def test_an_engine_that_the_runtime_refuses_gives_everything_back(plan: Path) -> None:
    cuda = EmulatedCuda()
    with pytest.raises(ModelError) as caught:
        GpuRunner(_module(loads=False), None, plan, SIGNATURE, gpu=Gpu(cuda))
    assert caught.value.code == "engine-refused"
    assert cuda.streams == 0


def test_other_inputs_than_recorded_are_refused(plan: Path) -> None:
    with pytest.raises(IntegrityError, match="recorded are"):
        GpuRunner(_module(), None, plan, Signature(SIGNATURE.inputs[:1], SIGNATURE.outputs), gpu=Gpu(EmulatedCuda()))


def test_a_closed_runner_says_so(plan: Path) -> None:
    runner = GpuRunner(_module(), None, plan, SIGNATURE, gpu=Gpu(EmulatedCuda()))
    runner.close()
    runner.close()
    with pytest.raises(ConfigError, match="closed"):
        runner.infer(_feeds(1))


def test_the_dla_is_named_before_the_engine_is_loaded(plan: Path) -> None:
    module = _module()
    GpuRunner(module, None, plan, SIGNATURE, gpu=Gpu(EmulatedCuda()), dla_core=1).close()
    assert module.dla_core == 1


def test_a_driver_that_is_too_old_is_a_missing_device() -> None:
    cuda = EmulatedCuda()
    cuda.cudaStreamCreate = lambda: (Status.cudaErrorInsufficientDriver, None)  # type: ignore[method-assign]
    with pytest.raises(DeviceError) as caught:
        Gpu(cuda)
    assert caught.value.code == "no-gpu"


@pytest.mark.skipif(importlib.util.find_spec("cuda") is not None, reason="cuda-python is installed")
def test_without_cuda_python_its_name_is_said() -> None:
    with pytest.raises(UnavailableError) as caught:
        Gpu()
    assert caught.value.code == "cuda-python-missing"
