"""What belongs together goes together: a cut network computes what the whole one does when nobody reads the removed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgetool.graph import load
from edgetool.graph.shapes import infer_shapes
from edgetool_onnxruntime.reference import open_onnx
from edgetool_passes.pruning.cut import cut
from edgetool_passes.pruning.groups import Dependencies, find_dependencies
from edgetool_passes.pruning.proof import prove
from tests.compress.prune_networks import (
    MAKERS,
    Array,
    Feed,
    Net,
    attention,
    chain,
    concatenated,
    feeds_for,
    grouped,
    packed_attention,
    residual,
    shuffled,
    squeeze_excite,
)


def _traced(net: Net, folder: Path, *, exclude: tuple[str, ...] = (), keep_heads: bool = False) -> Dependencies:
    model = net.save(folder)
    proto = load(model.path)
    types = infer_shapes(proto, model.signature.input_shapes("opt")).types
    shapes = {name: known.shape for name, known in types.items()}
    return find_dependencies(proto, shapes, exclude=exclude, keep_heads=keep_heads)


def _without_readers(dependencies: Dependencies, removed: Collection[int]) -> onnx.ModelProto:
    """The whole network with zeros wherever a layer reads a removed unit."""
    whole = onnx.ModelProto()
    whole.CopyFrom(onnx.helper.make_model(dependencies.trace.graph, ir_version=8))
    whole.opset_import[0].version = dependencies.trace.opset
    stored = {tensor.name: tensor for tensor in whole.graph.initializer}
    for group in dependencies.groups:
        for layer in group.readers:
            assert layer.inputs is not None
            values = numpy_helper.to_array(stored[layer.weight]).copy()
            gone = np.isin(dependencies.input_units(layer), list(removed))
            np.moveaxis(values, layer.inputs, 0)[gone] = 0
            stored[layer.weight].CopyFrom(numpy_helper.from_array(values, layer.weight))
    return whole


def _run(model: onnx.ModelProto, path: Path, feed: Feed) -> Array:
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    with open_onnx(path, 1) as runner:
        return runner.infer(feed)["y"]


def _some_of_each(dependencies: Dependencies, seed: int) -> set[int]:
    """About a third of the units of every group, at least one, never all."""
    chance = np.random.default_rng(seed)
    return {
        int(unit)
        for group in dependencies.groups
        for unit in chance.permutation(group.units)[: max(1, len(group.units) // 3)]
        if len(group.units) > 1
    }


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_cut_network_computes_what_is_left(make: Callable[[], Net], seed: int, tmp_path: Path) -> None:
    net = make()
    dependencies = _traced(net, tmp_path / "in")
    removed = _some_of_each(dependencies, seed)
    assert removed
    expected_graph = _without_readers(dependencies, removed)
    feed = feeds_for(net, 1)[0]
    feed = {"x": feed["x"][:2]}
    expected = _run(expected_graph, tmp_path / "whole.onnx", feed)
    whole = onnx.load(tmp_path / "in" / "net.onnx")
    shapes = cut(dependencies, removed)
    proto = onnx.helper.make_model(dependencies.trace.graph, opset_imports=whole.opset_import, ir_version=8)
    prove(infer_shapes(proto, {"x": feed["x"].shape}), shapes, where="test")
    actual = _run(proto, tmp_path / "cut.onnx", feed)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(actual, expected, atol=1e-5, rtol=1e-4)
    sizes = [sum(tensor.ByteSize() for tensor in graph.initializer) for graph in (proto.graph, whole.graph)]
    assert sizes[0] < sizes[1]


def _layers(dependencies: Dependencies) -> list[set[str]]:
    return [{layer.label for layer in group.layers} for group in dependencies.groups]


def test_a_shortcut_ties_all_that_write_into_it(tmp_path: Path) -> None:
    dependencies = _traced(residual(), tmp_path)
    assert _layers(dependencies) == [{"stem", "a_thin", "b_thin"}, {"a_wide", "a_deep"}, {"b_wide", "b_deep"}]
    readers = [{layer.label for layer in group.readers} for group in dependencies.groups]
    assert readers == [{"a_wide", "b_wide", "y"}, {"a_thin"}, {"b_thin"}]
    assert dependencies.kept == {"y": "they reach 'y', which leaves the graph"}


def test_a_group_goes_with_all_its_channels(tmp_path: Path) -> None:
    (first, second) = _traced(grouped(), tmp_path).groups
    assert {layer.label for layer in first.layers} == {"stem", "groups"}
    assert len(first.units) == 4
    assert {layer.label for layer in second.layers} == {"last"}


def test_a_flattened_channel_is_one_unit(tmp_path: Path) -> None:
    dependencies = _traced(chain(), tmp_path)
    second = next(group for group in dependencies.groups if group.label == "second")
    (reader,) = second.readers
    assert len(second.units) == 10
    assert all((dependencies.input_units(reader) == unit).sum() == 16 for unit in second.units)


def test_shuffled_halves_lose_pairs(tmp_path: Path) -> None:
    dependencies = _traced(shuffled(), tmp_path)
    units = dependencies.output_units(dependencies.groups[0].layers[0])
    assert (units[:6] == units[6:]).all()
    assert len(set(units.tolist())) == 6


def test_a_gate_ties_what_it_gates(tmp_path: Path) -> None:
    assert {"stem", "excite"} in _layers(_traced(squeeze_excite(), tmp_path))


def test_what_is_joined_with_the_input_may_still_go(tmp_path: Path) -> None:
    assert {"a"} in _layers(_traced(concatenated(), tmp_path))


def test_heads_are_units_and_the_residual_stream_stays(tmp_path: Path) -> None:
    dependencies = _traced(attention(), tmp_path)
    assert _layers(dependencies) == [{"query_product", "key_product", "value_product"}, {"wide_product"}]
    assert [len(group.units) for group in dependencies.groups] == [3, 24]
    assert "normalizes over them" in dependencies.kept["out_product"] or "combines" in dependencies.kept["out_product"]


def test_heads_of_a_packed_product_are_units(tmp_path: Path) -> None:
    (group,) = _traced(packed_attention(), tmp_path).groups
    assert len(group.units) == 4


def test_heads_can_be_kept(tmp_path: Path) -> None:
    dependencies = _traced(attention(), tmp_path, keep_heads=True)
    assert _layers(dependencies) == [{"wide_product"}]
    assert dependencies.kept["query_product"] == "attention heads are kept"


def test_excluded_layers_keep_their_whole_group(tmp_path: Path) -> None:
    dependencies = _traced(residual(), tmp_path, exclude=("a_th*",))
    assert _layers(dependencies) == [{"a_wide", "a_deep"}, {"b_wide", "b_deep"}]
    assert dependencies.kept["stem"] == "excluded by the recipe"


@pytest.mark.parametrize("op", ["LRN", "LpNormalization"])
def test_operators_that_are_not_known_keep_channels(op: str, tmp_path: Path) -> None:
    net = Net({"x": ("batch", 3, 8, 8)}, {"y": ("batch", 5)})
    stem = net.conv("x", "stem", 8, 3)
    stem = net.add(op, [stem], "between", **({"size": 3} if op == "LRN" else {}))
    net.head(net.conv(stem, "last", 8, 8), 8)
    dependencies = _traced(net, tmp_path)
    assert _layers(dependencies) == [{"last"}]
    assert dependencies.kept["stem"] == f"between reads them: edgetool does not know what {op} does to channels"


def test_a_weight_that_the_graph_computes_keeps_channels(tmp_path: Path) -> None:
    net = Net({"x": ("batch", 6, 12)}, {"y": ("batch", 6, 4)})
    turned = net.add("Transpose", [net.weight("w", 8, 12)], "turned", perm=[1, 0])
    net.add("MatMul", (net.add("MatMul", ("x", turned), "hidden"), net.weight("v", 8, 4)), "y")
    assert _traced(net, tmp_path).groups == ()


def test_numbers_of_channels_that_the_graph_computes_with_stay(tmp_path: Path) -> None:
    net = Net({"x": ("batch", 3, 8, 8)}, {"y": ("batch", 5)})
    stem = net.conv("x", "stem", 8, 3)
    net.stored["one"] = np.array(1, np.int64)
    count = net.add("Gather", (net.add("Shape", [stem], "shape"), "one"), "count", axis=0)
    scaled = net.add("Div", (stem, net.add("Cast", [count], "float_count", to=1)), "scaled")
    net.head(net.conv(scaled, "last", 8, 8), 8)
    dependencies = _traced(net, tmp_path)
    assert _layers(dependencies) == [{"last"}]
    assert "`simplify`" in dependencies.kept["stem"]
