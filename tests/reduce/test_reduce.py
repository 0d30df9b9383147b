"""Planted failures are reduced to what brings them about, whoever fails and however."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnx.numpy_helper
import pytest

from edgetool.artifact import Model
from edgetool.engine.requests import Plug
from edgetool.errors import ConfigError, ModelError
from edgetool.graph import read_model
from edgetool.reduce.failure import Failure
from edgetool.reduce.oracle import CommandOracle
from edgetool.reduce.reduction import Wishes
from tests.reduce.fragile import Fragile, FragileOptions
from tests.reduce.reducing import Asked, Reduced, reduce_by, reduce_by_backend


@pytest.fixture
def reduce(tmp_path: Path, network: Path) -> Callable[..., Reduced]:
    """Reduces the network by the failures that `fragile` knows, asked in this process."""

    def run(wishes: Wishes | None = None, **options: Any) -> Reduced:
        backend = Fragile(FragileOptions(**options))
        return reduce_by(Asked(lambda model: _failure(backend, model)), network, tmp_path, wishes or Wishes())

    return run


@pytest.fixture
def reduce_apart(tmp_path: Path, fragile: Path, network: Path) -> Callable[..., Reduced]:
    """The same with the backend in a child process, which it may bring down."""

    def run(wishes: Wishes | None = None, *, seconds: float = 20, **options: Any) -> Reduced:
        plug = Plug("fragile:Fragile", options)
        return reduce_by_backend(plug, network, tmp_path, wishes or Wishes(), seconds=seconds)

    return run


def _failure(backend: Fragile, model: Model) -> Failure | None:
    try:
        backend.judge(model)
    except ModelError as error:
        return Failure("build", error.code, error.message)
    return None


def test_a_refused_operator_is_left_alone(reduce_apart: Callable[..., Reduced]) -> None:
    found = reduce_apart(refuse=["Erf"])
    assert found.operators == ["Erf"]
    assert found.found.failure.stage == "supports"
    assert found.found.calls < 8  # the refusal names its node
    assert found.found.confirmed
    assert b"somebody" not in found.found.model.path.read_bytes()


def test_a_build_that_fails_is_reduced_to_its_cause_and_does_not_slip(reduce: Callable[..., Reduced]) -> None:
    """Without Softplus it still fails, with the same code and for another reason: that is another bug."""
    found = reduce(fail=["Erf", "Softplus"], slip=["Erf"])
    assert sorted(found.operators)[-1] == "Softplus"
    assert "Erf" in found.operators
    assert found.found.failure.code == "fragile-build"
    assert "no kernel" in found.found.failure.reason


def test_with_any_reason_another_reason_will_do(reduce: Callable[..., Reduced]) -> None:
    found = reduce(Wishes(any_reason=True), fail=["Erf", "Softplus"], slip=["Erf"])
    assert found.operators == ["Erf"]


@pytest.mark.parametrize("mode", ["bisect", pytest.param("linear", marks=pytest.mark.slow)])
def test_a_crash_is_a_failure(reduce_apart: Callable[..., Reduced], mode: str) -> None:
    found = reduce_apart(Wishes(mode), crash=["Tanh"])
    assert found.operators == ["Tanh"]
    assert "SIGSEGV" in found.found.failure.reason


def test_a_shape_that_the_model_computes_becomes_a_constant(reduce: Callable[..., Reduced]) -> None:
    found = reduce(fail=["Reshape"])
    assert found.operators == ["Reshape"]
    (shape,) = found.model.graph.initializer
    assert onnx.numpy_helper.to_array(shape).tolist() == [1, -1]
    assert [value.name for value in found.model.graph.input] == ["pooled"]


def test_a_failure_that_needs_dynamic_sizes_keeps_them(reduce: Callable[..., Reduced]) -> None:
    found = reduce(fail=["Erf"], needs_dynamic=True)
    assert "Erf" in found.operators
    (value,) = found.model.graph.input
    assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert found.found.fixed == ()


def test_weights_are_filled_where_they_do_not_matter(reduce: Callable[..., Reduced]) -> None:
    found = reduce(Wishes(blank=True), fail=["Conv", "Softplus"])
    assert found.found.kept == ()
    for tensor in found.model.graph.initializer:
        assert len(set(onnx.numpy_helper.to_array(tensor).ravel().tolist())) == 1
    assert len(found.found.blanked) == 1


def test_a_weight_that_matters_is_kept_and_named(reduce: Callable[..., Reduced], network: Path, tmp_path: Path) -> None:
    model = onnx.load(network)
    weight = onnx.numpy_helper.to_array(model.graph.initializer[3]).copy()
    weight[0, 0, 0, 0] = 7.0
    model.graph.initializer[3].CopyFrom(onnx.numpy_helper.from_array(weight, "w3"))
    onnx.save(model, network)
    found = reduce(Wishes(blank=True), fail=["Conv"], needs_weight=7.0)
    assert found.found.kept == ("w3",)


def test_when_time_runs_out_the_best_so_far_is_kept(reduce: Callable[..., Reduced]) -> None:
    found = reduce(Wishes(seconds=0), fail=["Erf"])
    assert not found.found.finished
    assert "Erf" in found.operators


@pytest.mark.slow
def test_a_backend_that_hangs_fails_by_its_time_limit(reduce_apart: Callable[..., Reduced]) -> None:
    found = reduce_apart(seconds=1, hang=["Softplus"])
    assert found.operators == ["Softplus"]
    assert found.found.failure.code == "step-timed-out"


def test_no_call_follows_once_time_is_up(reduce: Callable[..., Reduced]) -> None:
    assert reduce(Wishes(seconds=0), fail=["Erf"]).found.calls == 3  # the model, one Relu, and what is written


@pytest.mark.parametrize("command", ["no-such-program {}", "python 'unbalanced", "  "])
def test_a_command_that_cannot_be_run_is_refused(network: Path, command: str) -> None:
    with pytest.raises(ConfigError) as caught:
        CommandOracle(command, seconds=5).ask(read_model(network))
    assert caught.value.code == "bad-check-command"


def test_a_command_that_hangs_is_ended_with_all_that_it_started(network: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    command = f"sh -c '(sleep 2; touch {mark}) & sleep 60'"
    (failure,) = CommandOracle(command, seconds=0.5).ask(read_model(network))
    assert failure.code == "timed-out"
    time.sleep(2.2)
    assert not mark.exists()


def test_a_model_that_does_not_fail_is_refused(reduce: Callable[..., Reduced]) -> None:
    with pytest.raises(ConfigError) as caught:
        reduce()
    assert caught.value.code == "nothing-to-reduce"
