"""Turns what the builder says when it fails into one of our errors: whose fault it is, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.disk import out_of_memory
from edgetool.errors import EdgetoolError, ModelError
from edgetool.graph import load, node_label
from edgetool.graph.element import ELEMENTS
from edgetool.graph.walk import graphs
from edgetool_tensorrt.rejections import Rejection, at, describe
from edgetool_tensorrt.wording import boiled_down, speaks_of_memory

if TYPE_CHECKING:
    import onnx

_TYPES = re.compile(r"Cannot compile for target\(s\) (?P<targets>[\w, ]+), because .*? datatypes: (?P<types>[\w, ]+)")
_TURING = re.compile(r"Cannot compile operation '(?P<layer>[^']+)' for Turing .*?: (?P<what>.+?) is not supported")
_NO_KERNEL = re.compile(r"(?P<layer>\S+) has no runners that implement it")
_WORKSPACE = re.compile(r"within workspace limit|requires workspace memory")
_NUMBER = re.compile(r"_\d+$")
_NAMES = {"b16": "bfloat16", "fp8_e4m3": "float8_e4m3fn", "fp4_e2m1": "float4_e2m1fn", "int4": "int4"}


def parse_failure(rows: Sequence[Rejection], path: Path) -> ModelError:
    """The error for a model that the parser refuses: each reason, and the nodes that it is given for."""
    return _refused(describe(rows) or "it cannot be parsed, for no reason given", path)


def build_failure(errors: Sequence[str], path: Path, *, workspace: int | None) -> EdgetoolError:
    """The error for a network that was parsed and cannot be built.

    Args:
        errors: the builder's messages, in order.
        path: the model's file.
        workspace: the limit of scratch memory that was set, if any.
    """
    text = "\n".join(errors)
    if speaks_of_memory(text):
        return out_of_memory(str(path))
    if types := _TYPES.search(text):
        names = [_NAMES.get(name.strip(), name.strip()) for name in types["types"].split(",")]
        targets = types["targets"].replace("sm", "").strip()
        nodes = list(_nodes_with(load(path, weights=False), names))
        return ModelError(
            "type-not-on-gpu",
            f"compute capability {targets} has no {' and no '.join(names)}" + at(nodes),
            where=path.name,
            hint="choose a recipe with float16 instead; an engine for several capabilities serves its weakest member",
        )
    if turing := _TURING.search(text):
        return ModelError(
            "type-not-on-gpu",
            f"compute capability 75 has no {turing['what'].replace('FP32', 'float32')}"
            + at(_nodes_of(turing["layer"], path)),
            where=path.name,
            hint='compute in half precision: put { use = "cast-fp16" } into the recipe (int8 needs it, too)',
        )
    if workspace is not None and _WORKSPACE.search(text):
        return ModelError(
            "workspace-too-small",
            f"no kernel works within {workspace} MiB of scratch memory",
            where=path.name,
            hint="raise `workspace` in [targets.NAME.tensorrt], or leave it out",
        )
    if lacking := _NO_KERNEL.search(text):
        nodes = _nodes_of(lacking["layer"], path)
        return _refused("a node is parsed, but no kernel implements it" + at(nodes), path)
    return _refused(boiled_down(text) or "the build failed for no reason given", path)


def _refused(reason: str, path: Path) -> ModelError:
    return ModelError(
        "refused-by-tensorrt-rtx",
        reason,
        where=path.name,
        hint="`edgetool check` lists every node that is refused, with the reason",
    )


def _nodes_with(proto: onnx.ModelProto, dtypes: Iterable[str]) -> Iterator[str]:
    """Labels of the nodes that read a stored tensor of one of these element types, or cast to it."""
    numbers = {number for number, element in ELEMENTS.items() if element.name in set(dtypes)}
    for graph in graphs(proto.graph):
        stored = {tensor.name for tensor in graph.initializer if tensor.data_type in numbers}
        for index, node in enumerate(graph.node):
            casts = any(attribute.name == "to" and attribute.i in numbers for attribute in node.attribute)
            if casts or stored.intersection(node.input):
                yield node_label(node, index)


def _nodes_of(layer: str, path: Path) -> list[str]:
    """The node that a layer was made from; layers carry its name, with a number when there are several."""
    proto = load(path, weights=False)
    labels = {node_label(node, index) for graph in graphs(proto.graph) for index, node in enumerate(graph.node)}
    return [name for name in (layer, _NUMBER.sub("", layer)) if name in labels][:1]
