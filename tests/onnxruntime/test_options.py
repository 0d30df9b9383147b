"""What `[targets.NAME.onnxruntime]` takes, and what it refuses with a reason."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from edgetool_onnxruntime.options import OnnxRuntimeOptions


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"session_entries": {"session.enable_quant_qdq_cleanup": "1"}}, "wrong results"),
        ({"session_entries": {"session.intra_op.allow_spinning": "0"}}, "use `spinning`"),
        ({"session_entries": {"sesion.dynamic_block_base": "4"}}, "no session entry"),
        ({"session_entries": {"session.dynamic_block_base": 4}}, "valid string"),
        ({"providers": []}, "at least 1"),
        ({"providers": ["CPU"]}, "end in ExecutionProvider, like CPUExecutionProvider"),
        ({"providers": ["CPUExecutionProvider"] * 2}, "twice"),
        ({"provider_options": {"CUDAExecutionProvider": {"device_id": "0"}}}, "does not name"),
        ({"format": "ort", "providers": ["CUDAExecutionProvider"]}, "optimized for the CPU"),
        ({"format": "tflite"}, "'onnx' or 'ort'"),
        ({"graph_optimization": "max"}, "'disabled', 'basic'"),
        ({"inter_op_threads": 0}, "greater than or equal to 1"),
        ({"intra_op_threads": 2}, "Extra inputs"),
    ],
)
def test_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=reason):
        OnnxRuntimeOptions(**options)


def test_everything_that_decides_is_pinned_and_recorded() -> None:
    options = OnnxRuntimeOptions(
        graph_optimization="extended",
        execution_mode="parallel",
        inter_op_threads=2,
        spinning=True,
        session_entries={"session.set_denormal_as_zero": "1"},
    )
    assert options.settings(threads=3).threads == 3
    assert options.settings(threads=3).to_json() == {
        "graph_optimization_level": "extended",
        "execution_mode": "parallel",
        "inter_op_threads": 2,
        "session_entries": {
            "session.force_spinning_stop": "1",
            "session.inter_op.allow_spinning": "1",
            "session.intra_op.allow_spinning": "1",
            "session.set_denormal_as_zero": "1",
        },
    }


def test_onnxruntime_obeys() -> None:
    from edgetool_onnxruntime.runtime import load_runtime
    from edgetool_onnxruntime.session import session_options

    runtime = load_runtime()
    chosen = OnnxRuntimeOptions(graph_optimization="basic", execution_mode="parallel", inter_op_threads=2)
    seen = session_options(runtime, chosen.settings(threads=3))
    assert seen.graph_optimization_level == runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    assert seen.execution_mode == runtime.ExecutionMode.ORT_PARALLEL
    assert (seen.intra_op_num_threads, seen.inter_op_num_threads) == (3, 2)
    assert seen.use_deterministic_compute
    assert seen.get_session_config_entry("session.intra_op.allow_spinning") == "0"
