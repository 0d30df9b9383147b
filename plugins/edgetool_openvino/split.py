"""HETERO: which device gets which operation, where nobody but us can tell."""

from __future__ import annotations

from typing import Any

from edgetool_openvino import fpga
from edgetool_openvino.device import Device


def computed(model: Any) -> list[Any]:
    """The operations that work at run time, in order: not the constants, nor what follows from constants and shapes."""
    static: set[str] = set()
    found = []
    for op in model.get_ordered_ops():
        kind = op.get_type_name()
        known_shape = kind == "ShapeOf" and op.input(0).get_partial_shape().is_static
        sources = [value.get_node().get_name() for value in op.input_values()]
        if kind == "Constant" or known_shape or (sources and static.issuperset(sources) and kind != "Result"):
            static.add(op.get_name())
        elif kind not in ("Parameter", "Result"):
            found.append(op)
    return found


def predicted(model: Any, device: Device) -> dict[str, str]:
    """Friendly name of an operation that the FPGA refuses -> why; empty for other accelerators."""
    if device.accelerator.partition("_")[0] != "FPGA":
        return {}
    reasons = {op.get_friendly_name(): fpga.refusal(op) for op in computed(model)}
    return {name: reason for name, reason in reasons.items() if reason}


def assign(model: Any, device: Device) -> None:
    """Write the predicted device on every operation, as HETERO wants it: on all of them, or it ignores them.

    A constant goes where it is used, so that the graph is not cut around it.
    """
    fallback = device.families[-1]
    refused = set(predicted(model, device))
    chosen: dict[str, str] = {}
    for op in reversed(model.get_ordered_ops()):
        consumers = [target.get_node() for output in op.outputs() for target in output.get_target_inputs()]
        if op.get_type_name() in ("Constant", "Parameter") and consumers:
            where = chosen[consumers[0].get_name()]
        elif op.get_type_name() == "Result":
            source = op.input_value(0).get_node().get_friendly_name()
            where = fallback if source in refused else device.accelerator
        else:
            where = fallback if op.get_friendly_name() in refused else device.accelerator
        chosen[op.get_name()] = where
        op.get_rt_info()["affinity"] = where
