"""The .ort format: a graph that was optimized once, and the list of operators that a minimal build needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.graph import files, node_label
from edgetool.graph.precision import declared_precision
from edgetool.problem import Problem
from edgetool_onnxruntime.options import OnnxRuntimeOptions
from edgetool_onnxruntime.ort_canonical import canonicalize
from edgetool_onnxruntime.runtime import load_format_tools
from edgetool_onnxruntime.session import open_session

if TYPE_CHECKING:
    import onnx

ENTRY = "model.ort"
OPERATORS = "required_operators_and_types.config"

_FLATBUFFERS_LIMIT = 2**31 - 1


def write_ort(source: Path, directory: Path, options: OnnxRuntimeOptions, *, x86: bool) -> str:
    """Write `model.ort` and its operator list into `directory`; returns the entry's name.

    Args:
        source: the lowered .onnx file.
        directory: of the engine.
        options: of the target.
        x86: whether the target computes on x86; decides which int8 kernels the graph is fused for.
    """
    destination = directory / ENTRY
    settings = options.settings(threads=1)
    entries = {
        "session.save_model_format": "ORT",
        # Weights in the blocked layout fit only the vector width of the machine that optimized them.
        "optimization.disable_specified_optimizers": "NchwcTransformer",
        "session.qdqisint8allowed": "0" if x86 else "1",
        **options.session_entries,
    }
    open_session(source, replace(settings, entries=entries, optimized_path=destination))
    canonicalize(destination)
    _write_operators(destination, directory / OPERATORS)
    return ENTRY


def ort_format_problems(path: Path, proto: onnx.ModelProto, *, x86: bool) -> tuple[Problem, ...]:
    """What speaks against the format for this model: its limit of 2 GiB, and slow float convolutions on x86."""
    problems = []
    if sum(part.stat().st_size for part in files(path)) > _FLATBUFFERS_LIMIT:
        problems.append(
            Problem("the .ort format holds at most 2 GiB", fix='set format = "onnx" in [targets.NAME.onnxruntime]')
        )
    convolutions = tuple(
        node_label(node, index) for index, node in enumerate(proto.graph.node) if node.op_type == "Conv"
    )
    if x86 and convolutions and declared_precision(proto) != "int8":
        problems.append(
            Problem(
                "the .ort format keeps no blocked layout: float convolutions on x86 take about twice as long",
                convolutions,
                fix='quantize the model, or set format = "onnx" in [targets.NAME.onnxruntime]',
                severity="warn",
            )
        )
    return tuple(problems)


def _write_operators(model: Path, destination: Path) -> None:
    """What `--include_ops_by_config` with `--enable_reduced_operator_type_support` of ONNX Runtime's build takes.

    Written here and not by the tool of ONNX Runtime, which puts the path of the model into the file.
    """
    tools = load_format_tools()
    required: dict[str, dict[int, set[str]]] = {}
    types = tools.OperatorTypeUsageManager()
    tools.OrtFormatModelProcessor(str(model), required, types).process()
    lines = [
        f"{domain};{opset};" + ",".join(op + (types.get_config_entry(domain, op) or "") for op in sorted(operators))
        for domain, opsets in sorted(required.items())
        for opset, operators in sorted(opsets.items())
    ]
    destination.write_text("\n".join(["# Operators and types of model.ort", *lines, ""]), encoding="utf-8")
