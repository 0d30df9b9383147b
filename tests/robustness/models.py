"""Mutated ONNX files: their bytes, their structure, and where they say that their weights lie."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, TypeAlias

from tests.robustness.bytes import damaged_bytes, flipped
from tests.robustness.seeds import PLAIN_TARGETS, Seeds
from tests.robustness.words import COUNTS, NAMES, PATHS, a_float

if TYPE_CHECKING:
    import onnx

Change: TypeAlias = "Callable[[Random, onnx.ModelProto], None]"

_BUILD = ("build", "model.onnx", "--latency-time", "0.01s", "--no-cache")
_COMMANDS: tuple[tuple[tuple[str, ...], int], ...] = (
    (("inspect", "model.onnx"), 10),
    (("inspect", "model.onnx", "--json"), 4),
    (("check", "model.onnx", "-t", "float"), 6),
    (("check", "model.onnx", "-t", "smaller"), 2),
    ((*_BUILD, "-t", "float"), 3),
    ((*_BUILD, "-t", "smaller"), 1),
    ((*_BUILD, "-t", "half"), 1),
)


def broken_bytes(random: Random, seeds: Seeds, folder: Path) -> tuple[str, ...]:
    """Bits flipped, bytes cut, doubled or exchanged, without regard for what they mean."""
    source = random.choice(seeds.models)
    _copy(source, folder)
    data = source.read_bytes()
    (folder / "model.onnx").write_bytes(flipped(random, data) if random.random() < 0.7 else damaged_bytes(random, data))
    return _command(random)


def changed_structure(random: Random, seeds: Seeds, folder: Path) -> tuple[str, ...]:
    """Well-formed files that say something senseless, once or several times over."""
    source = random.choice(seeds.models)
    model = _load(source)
    for change in random.choices(_CHANGES, k=random.choice((1, 1, 1, 2, 4))):
        change(random, model)
    _copy(source, folder)
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    return _command(random)


def hostile_external_data(random: Random, seeds: Seeds, folder: Path) -> tuple[str, ...]:
    """Weights that lie elsewhere, at impossible places, or in a file that is cut or no file."""
    source = seeds.folder / "models" / "external" / "model.onnx"
    model = _load(source)
    tensor = random.choice(model.graph.initializer)
    for _ in range(random.choice((1, 1, 2))):
        if random.random() < 0.1:
            tensor.external_data.add(key=random.choice(NAMES), value=random.choice(PATHS))
        entry = random.choice(tensor.external_data)
        if entry.key == "location" or random.random() < 0.2:
            entry.value = random.choice(PATHS)
        else:
            entry.value = random.choice(("nan", "1e3", "", "0x10", " 4", "-0", *map(str, COUNTS)))
        if random.random() < 0.1:
            entry.key = random.choice(("location", "offset", "length", "basepath", ""))
    _copy(source, folder)
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    if random.random() < 0.3:
        _damage_weights(random, folder / "weights.bin")
    return _command(random)


def _damage_weights(random: Random, path: Path) -> None:
    way = random.randrange(5)
    if way == 0:
        path.write_bytes(damaged_bytes(random, path.read_bytes()))
        return
    path.unlink()
    if way == 1:
        path.symlink_to("../sentinel/secret.bin")
    elif way == 2:
        path.mkdir()
    elif way == 3:
        with path.open("wb") as file:
            file.truncate(1 << 30)  # sparse; it is hashed as a whole, which may take its time


def _copy(source: Path, folder: Path) -> None:
    for file in source.parent.iterdir():
        shutil.copyfile(file, folder / file.name)
    (folder / "targets.toml").write_text(PLAIN_TARGETS)


def _load(source: Path) -> onnx.ModelProto:
    import onnx

    return onnx.load_model(source, load_external_data=False)


def _command(random: Random) -> tuple[str, ...]:
    commands, shares = zip(*_COMMANDS, strict=True)
    return random.choices(commands, shares)[0]


def _graphs(model: onnx.ModelProto) -> list[onnx.GraphProto]:
    found, left = [], [model.graph]
    while left:
        found.append(left.pop())
        left += [part.g for node in found[-1].node for part in node.attribute if part.HasField("g")]
    return found


def _nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    nodes = [node for graph in _graphs(model) for node in graph.node]
    return nodes + [node for function in model.functions for node in function.node]


def _values(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    return [value for graph in _graphs(model) for value in (*graph.input, *graph.output, *graph.value_info)]


def _tensors(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    stored = [tensor for graph in _graphs(model) for tensor in graph.initializer]
    return stored + [part.t for node in _nodes(model) for part in node.attribute if part.HasField("t")]


def _all_names(model: onnx.ModelProto) -> list[str]:
    return [name for node in _nodes(model) for name in (*node.input, *node.output)] or [""]


def _change_attribute_value(random: Random, model: onnx.ModelProto) -> None:
    parts = [part for node in _nodes(model) for part in node.attribute]
    if not parts:
        return
    part = random.choice(parts)
    if part.ints:
        part.ints[random.randrange(len(part.ints))] = random.choice(COUNTS)
    elif part.floats:
        part.floats[random.randrange(len(part.floats))] = a_float(random)
    elif part.HasField("s"):
        part.s = random.choice(NAMES).encode()
    elif part.HasField("f"):
        part.f = a_float(random)
    else:
        part.i = random.choice(COUNTS)


def _change_attribute_type(random: Random, model: onnx.ModelProto) -> None:
    parts = [part for node in _nodes(model) for part in node.attribute]
    if parts:
        part = random.choice(parts)
        part.type = random.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14))
        if random.random() < 0.5:
            part.ClearField(random.choice(("i", "f", "s", "t", "g", "ints", "floats")))


def _add_attribute(random: Random, model: onnx.ModelProto) -> None:
    nodes = _nodes(model)
    if not nodes:
        return
    node = random.choice(nodes)
    names = ("axis", "perm", "to", "value", "body", "pads", "kernel_shape", "group", "block_size", "keepdims", *NAMES)
    part = node.attribute.add(name=random.choice(names), type=random.choice(range(15)))
    part.i = random.choice(COUNTS)
    part.ints.extend(random.choices(COUNTS, k=random.randrange(4)))
    part.s = random.choice(NAMES).encode()
    if random.random() < 0.2:
        part.ref_attr_name = random.choice(NAMES)


def _drop_or_double_attribute(random: Random, model: onnx.ModelProto) -> None:
    nodes = [node for node in _nodes(model) if node.attribute]
    if not nodes:
        return
    node = random.choice(nodes)
    at = random.randrange(len(node.attribute))
    if random.random() < 0.6:
        del node.attribute[at]
    else:
        node.attribute.add().CopyFrom(node.attribute[at])


def _change_shape(random: Random, model: onnx.ModelProto) -> None:
    values = _values(model)
    if not values:
        return
    shape = random.choice(values).type.tensor_type.shape
    way = random.randrange(4)
    if way == 0 or not shape.dim:
        shape.dim.add().dim_value = random.choice(COUNTS)
    elif way == 1:
        del shape.dim[random.randrange(len(shape.dim))]
    elif way == 2:
        random.choice(shape.dim).dim_param = random.choice(NAMES)
    else:
        random.choice(shape.dim).dim_value = random.choice(COUNTS)


def _change_value_type(random: Random, model: onnx.ModelProto) -> None:
    values = _values(model)
    if not values:
        return
    kind = random.choice(values).type
    way = random.randrange(5)
    if way == 0:
        kind.ClearField("value")
    elif way == 1:
        kind.sequence_type.elem_type.tensor_type.elem_type = 1
    elif way == 2:
        kind.map_type.key_type = random.choice((0, 7, 8, 99))
    elif way == 3:
        kind.tensor_type.ClearField("shape")
    else:
        kind.tensor_type.elem_type = random.choice((0, 1, 2, 7, 8, 9, 10, 16, 22, 24, 26, 99, -1))


def _change_tensor(random: Random, model: onnx.ModelProto) -> None:
    tensors = _tensors(model)
    if not tensors:
        return
    tensor = random.choice(tensors)
    way = random.randrange(8)
    if way == 0:
        tensor.data_type = random.choice((0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 14, 16, 17, 22, 23, 24, 25, 26, 99, -1))
    elif way == 1:
        tensor.dims.append(random.choice(COUNTS))
    elif way == 2 and tensor.dims:
        tensor.dims[random.randrange(len(tensor.dims))] = random.choice(COUNTS)
    elif way == 3:
        tensor.raw_data = random.choice((b"", b"\0", tensor.raw_data[:-1], tensor.raw_data * 2))
    elif way == 4:
        tensor.ClearField("raw_data")
    elif way == 5:
        tensor.float_data.append(a_float(random))
    elif way == 6:
        tensor.string_data.append(random.choice(NAMES).encode())
    else:
        tensor.segment.begin, tensor.segment.end = random.choice(COUNTS), random.choice(COUNTS)


def _spoil_weights(random: Random, model: onnx.ModelProto) -> None:
    import struct

    floats = [tensor for tensor in _tensors(model) if tensor.data_type == 1 and len(tensor.raw_data) >= 4]
    if floats:
        tensor = random.choice(floats)
        at = 4 * random.randrange(len(tensor.raw_data) // 4)
        value = struct.pack("<f", a_float(random))
        tensor.raw_data = tensor.raw_data[:at] + value + tensor.raw_data[at + 4 :]


def _rename(random: Random, model: onnx.ModelProto) -> None:
    nodes = _nodes(model)
    if not nodes:
        return
    node = random.choice(nodes)
    side = node.input if random.random() < 0.5 else node.output
    name = random.choice((random.choice(NAMES), random.choice(_all_names(model))))
    if side:
        side[random.randrange(len(side))] = name
    else:
        side.append(name)


def _rename_value(random: Random, model: onnx.ModelProto) -> None:
    named = [*_values(model), *_tensors(model), *_graphs(model), *_nodes(model), *model.functions]
    random.choice(named).name = random.choice((random.choice(NAMES), random.choice(_all_names(model))))


def _change_operator(random: Random, model: onnx.ModelProto) -> None:
    import onnx.defs

    nodes = _nodes(model)
    if not nodes:
        return
    node = random.choice(nodes)
    known = [schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain]
    node.op_type = random.choice((random.choice(known), random.choice(known), random.choice(NAMES)))
    if random.random() < 0.15:
        node.domain = random.choice(("ai.onnx", "ai.onnx.ml", "com.microsoft", "own", *NAMES))


def _change_arity(random: Random, model: onnx.ModelProto) -> None:
    nodes = _nodes(model)
    if not nodes:
        return
    node = random.choice(nodes)
    side = node.input if random.random() < 0.7 else node.output
    if side and random.random() < 0.5:
        del side[random.randrange(len(side))]
    else:
        side.extend([random.choice(_all_names(model)) for _ in range(random.choice((1, 2, 40)))])


def _move_nodes(random: Random, model: onnx.ModelProto) -> None:
    graph = random.choice(_graphs(model))
    if not graph.node:
        return
    way = random.randrange(4)
    at = random.randrange(len(graph.node))
    if way == 0:
        del graph.node[at]
    elif way == 1:
        graph.node.add().CopyFrom(graph.node[at])
    elif way == 2:
        del graph.node[:]
    else:
        graph.node.sort(key=lambda _: random.random())


def _drop_or_double_field(random: Random, model: onnx.ModelProto) -> None:
    graph = random.choice(_graphs(model))
    rows = getattr(graph, random.choice(("input", "output", "initializer", "value_info")))
    if rows and random.random() < 0.5:
        del rows[random.randrange(len(rows))]
    elif rows:
        rows.add().CopyFrom(random.choice(rows))


def _change_head(random: Random, model: onnx.ModelProto) -> None:
    way = random.randrange(6)
    if way == 0:
        model.ir_version = random.choice(COUNTS)
    elif way == 1 and model.opset_import:
        random.choice(model.opset_import).version = random.choice((*COUNTS, *range(1, 27)))
    elif way == 2:
        model.opset_import.add(domain=random.choice(("", "ai.onnx", "com.microsoft", *NAMES)), version=1)
    elif way == 3:
        model.ClearField(random.choice(("graph", "opset_import", "ir_version", "functions")))
    elif way == 4:
        model.metadata_props.add(key=random.choice(NAMES), value=random.choice(NAMES))
    else:
        model.producer_name = random.choice(NAMES)


def _nest(random: Random, model: onnx.ModelProto) -> None:
    """The graph as the branch of an If, in an If, in an If: parsers of protobuf give up at 100 levels."""
    import onnx

    for _ in range(random.choice((1, 3, 10, 25))):
        outer = onnx.GraphProto(name="outer")
        outer.input.extend(model.graph.input)
        outer.output.extend(model.graph.output)
        node = outer.node.add(op_type="If", name="deeper", input=[random.choice(_all_names(model))])
        node.output.extend(value.name for value in model.graph.output)
        for name in ("then_branch", "else_branch"):
            node.attribute.add(name=name, type=onnx.AttributeProto.GRAPH).g.CopyFrom(model.graph)
            if name == "then_branch":
                model.graph.ClearField("node")  # one branch is deep; two would double with each level
        model.graph.CopyFrom(outer)


def _call_in_circles(random: Random, model: onnx.ModelProto) -> None:
    """Functions that call themselves, or each other, or are defined twice."""
    domain = random.choice(("own", "own", ""))
    names = random.choice((("f",), ("f", "g")))
    for at, name in enumerate(names):
        function = model.functions.add(name=name, domain=domain, input=["a"], output=["b"])
        function.opset_import.extend(model.opset_import)
        function.node.add(op_type=names[(at + 1) % len(names)], domain=domain, input=["a"], output=["b"])
    if not any(row.domain == domain for row in model.opset_import):
        model.opset_import.add(domain=domain, version=1)
    model.graph.node.add(op_type=names[0], domain=domain, input=[_all_names(model)[0]], output=["circled"])


_CHANGES: tuple[Change, ...] = (
    _change_attribute_value,
    _change_attribute_value,
    _change_attribute_type,
    _add_attribute,
    _drop_or_double_attribute,
    _change_shape,
    _change_shape,
    _change_value_type,
    _change_tensor,
    _change_tensor,
    _spoil_weights,
    _rename,
    _rename,
    _rename_value,
    _change_operator,
    _change_operator,
    _change_arity,
    _move_nodes,
    _drop_or_double_field,
    _change_head,
    _nest,
    _call_in_circles,
)
