"""The self-test's part that knows OpenVINO: C through its C API, and the settings of an engine."""

from __future__ import annotations

from collections.abc import Iterator

from edgetool.artifact import Engine
from edgetool.backends import DeviceSources
from edgetool.selftest import package_files
from edgetool_openvino.device import BUNDLED, family
from edgetool_openvino.options import OpenVinoOptions
from edgetool_openvino.session import device_properties
from edgetool_openvino.weight_groups import DYNAMIC_GROUP

_THREADS = "INFERENCE_NUM_THREADS"
_GROUP = "DYNAMIC_QUANTIZATION_GROUP_SIZE"


def device_sources(engine: Engine, options: OpenVinoOptions) -> DeviceSources | None:
    """For an engine of these options, on the device that they name and not on what stands in for it.

    None where the device's plugin does not come with OpenVINO: its C API cannot register one.
    """
    if options.plugin_name is not None:
        return None
    real = options.model_copy(update={"stand_in": None})
    group = engine.facts.get("dynamic_quantization_group", DYNAMIC_GROUP)
    settings = (("device", str(real.wanted)), *_properties(real, group))
    return DeviceSources("openvino", package_files("edgetool_openvino", "selftest"), settings)


def _properties(options: OpenVinoOptions, group: object) -> Iterator[tuple[str, str]]:
    for member in options.wanted.members or BUNDLED:
        for key, value in device_properties(options, member, threads=0).items():
            if key == _THREADS:
                continue  # whoever runs the self-test says how many
            chosen = group if key == _GROUP and family(member) == "CPU" else value
            yield "property", f"{member} {key}={_text(chosen)}"


def _text(value: object) -> str:
    """As OpenVINO spells it."""
    return {True: "YES", False: "NO"}[value] if isinstance(value, bool) else str(value)
