"""Boils what OpenVINO says down to the line that means something, and turns it into our errors."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgetool.disk import host_error
from edgetool.errors import ConfigError, DeviceError, EdgetoolError, HostError, IntegrityError, ModelError
from edgetool.graph import load, node_label
from edgetool.graph.walk import graphs

_NOISE = re.compile(
    r"^(Exception from \S+:\d+:|FrontEnd API failed with \w+:|\[ONNX Frontend\] Conversion failed for .*"
    r"|Model wasn't fully converted.*|Summary:|-- Conversion is failed for: .*|Failed to create plugin .*"
    r"|Please, check your environment|VCL compiler loading failed, aborting\. Error: Exception from .*)$"
)
_CHECK = re.compile(r"Check '.*?' failed at \S+\.(?:cpp|hpp):\d+:")
_VALIDATING_OPERATION = re.compile(r"While validating node '.*?' with friendly_name '[^']*':", re.S)
_VALIDATING = re.compile(r"While validating ONNX node '<Node\((?P<op_type>\w+)\): (?P<name>[^>']+)>':?")
_UNKNOWN = re.compile(r"No conversion rule found for operations: (?P<operators>.+)")
_OPERATOR = re.compile(r"(?:(?P<domain>[\w.]+)\.)?(?P<op_type>\w+?)(?:-(?P<version>\d+))?")
_FAILED = re.compile(r"^-- (?P<op_type>\w+)-\d+ with a message:\n(?P<message>.*?)(?=^-- |^Summary:|\Z)", re.M | re.S)
_LIBRARY = re.compile(r'Cannot load library "[^"]*?(?P<library>[^"/]+)": (?P<why>[^\n]+)')
_MISSING = re.compile(r"(?P<file>[^\s:/]+): cannot open shared object file")
_PROPERTY = re.compile(r"Unsupported property (?P<key>\S+) by (?P<device>\S+) plugin")
_MEMORY = re.compile(r"bad[_ ]alloc|failed to allocate|cannot allocate memory|not enough memory", re.IGNORECASE)
_WRITING = re.compile(r"iostream error|basic_ios|No space left", re.IGNORECASE)
_NOTHING = 1 << 20  # bytes; OpenVINO does not say why a write failed

_DRIVERS = {
    "GPU": "install Intel's compute runtime (Debian: intel-opencl-icd), which brings libOpenCL.so.1 and the driver",
    "NPU": "install Intel's NPU driver with its compiler; OpenVINO's wheel does not bring the compiler",
}


@dataclass(frozen=True, slots=True)
class Blame:
    """An ONNX node or operator that OpenVINO cannot convert.

    Attributes:
        reason: one sentence.
        op_type: the operator; with `domain`, all its nodes are to blame unless `node` names one.
        node: name of the node, or of one of its outputs.
    """

    reason: str
    op_type: str
    domain: str = ""
    node: str | None = None


def boiled_down(text: str) -> str:
    """The last lines that say something, without source lines and nesting."""
    lines = [line.strip() for line in _shortened(text).splitlines()]
    telling = [line for line in lines if line and not _NOISE.match(line)]
    return " ".join((telling or lines)[-2:]).strip().rstrip(".")


def _shortened(text: str) -> str:
    for noise in (_CHECK, _VALIDATING, _VALIDATING_OPERATION):
        text = noise.sub("", text)
    return text


def blames(text: str) -> Iterator[Blame]:
    """What the ONNX front end found fault with, operator by operator; nothing when it names none."""
    if unknown := _UNKNOWN.search(text):
        for item in unknown["operators"].split(","):
            if operator := _OPERATOR.fullmatch(item.strip()):
                name = ".".join(filter(None, (operator["domain"], operator["op_type"])))
                yield Blame(f"OpenVINO has no operator {name}", operator["op_type"], operator["domain"] or "")
    for failed in _FAILED.finditer(text):
        node = _VALIDATING.search(failed["message"])
        reason = boiled_down(failed["message"]) or "it cannot be converted"
        yield Blame(f"{failed['op_type']}: {reason}", failed["op_type"], node=node["name"] if node else None)


def damaged_error(error: Exception, path: Path) -> EdgetoolError:
    """The error for an IR that cannot be read back."""
    if _MEMORY.search(str(error)):
        return _out_of_memory(path)
    return IntegrityError(
        "engine-incomplete",
        f"the engine cannot be read: {boiled_down(str(error))}",
        where=str(path),
        hint="build the target again",
    )


def convert_error(error: Exception, path: Path) -> EdgetoolError:
    """The error for an ONNX model that cannot be read into OpenVINO."""
    text = str(error)
    if _MEMORY.search(text):
        return _out_of_memory(path)
    found = list(blames(text))
    reason = "; ".join(dict.fromkeys(blame.reason for blame in found)) or boiled_down(text)
    node = next((_label(path, blame.node) for blame in found if blame.node), None)
    return ModelError(
        "refused-by-openvino",
        reason,
        where=f"{path.name}: {node}" if node else path.name,
        hint="`edgetool check` lists every node that is refused; fixed shapes (`specialize`) help with control flow",
    )


def _label(path: Path, name: str) -> str:
    """The node that computes a tensor, which is what OpenVINO calls a node by; `name` itself when there is none."""
    for graph in graphs(load(path, weights=False).graph):
        for index, node in enumerate(graph.node):
            if name in node.output:
                return node_label(node, index)
    return name


def write_error(error: Exception, path: Path) -> EdgetoolError:
    """The error for an engine that cannot be written."""
    text = str(error)
    if _MEMORY.search(text):
        return _out_of_memory(path)
    if _WRITING.search(text):
        is_full = shutil.disk_usage(path.parent).free < _NOTHING
        return host_error(OSError(errno.ENOSPC if is_full else errno.EIO, boiled_down(text)), path)
    return ModelError("refused-by-openvino", boiled_down(text), where=path.name)


def device_error(error: Exception, device: str, *, where: str) -> EdgetoolError:
    """The error for a device that does not open, or that does not take a network."""
    text = str(error)
    if _MEMORY.search(text):
        return _out_of_memory(Path(where))
    if wrong := _PROPERTY.search(text):
        return property_error(error, wrong["key"], wrong["device"])
    if library := _LIBRARY.search(text):
        missing = _MISSING.search(library["why"])
        what = f"{missing['file']} is missing" if missing else library["why"]
        return DeviceError(
            "device-unreachable",
            f"the plugin of {device} cannot be loaded: {what}",
            where=f"device {device}",
            hint=_DRIVERS.get(
                device.partition(".")[0], "check `plugin_library`, and the libraries that it needs (ldd)"
            ),
        )
    if "is not registered" in text or "No device" in text or "No available device" in text:
        return device_absent(device)
    if "incompatible runtime requirements" in text or "Cannot import compiled blob" in text:
        return DeviceError(
            "blob-of-another-machine",
            "this blob was compiled by another version of OpenVINO or for another processor",
            where=where,
            hint='build it on the device, or use artifact = "ir", which every machine compiles for itself',
        )
    return ModelError("refused-by-device", f"{device}: {boiled_down(text)}", where=where)


def device_absent(device: str) -> DeviceError:
    """The error for a device that this machine does not have."""
    name = device.partition(".")[0]
    return DeviceError(
        "device-unreachable",
        f"this machine has no {device}",
        where=f"device {device}",
        hint=_DRIVERS.get(name, f"set `plugin_name` and `plugin_library` where {name} is, or name a `stand_in` here"),
    )


def property_error(error: Exception, key: str, device: str) -> ConfigError:
    """The error for a property that a plugin does not know, or whose value it does not take."""
    text = str(error)
    reason = f"{device} knows no property {key}" if _PROPERTY.search(text) else f"{key}: {boiled_down(text)}"
    return ConfigError(
        "wrong-device-property",
        reason,
        where=f"openvino.device_properties.{key}",
        hint="the plugin's documentation lists its properties; they are passed on as they are written",
    )


def _out_of_memory(path: Path) -> HostError:
    return HostError(
        "out-of-memory", "OpenVINO ran out of memory", where=str(path), hint="free some, or raise `memory`"
    )
