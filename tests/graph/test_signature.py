"""What a graph says about its inputs and outputs, in exporters' many ways of not saying it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgetool import graph
from edgetool.errors import ModelError
from edgetool.signature import DimRange, TensorSpec
from tests.graph.building import linear, model, written


def _signature(proto: onnx.ModelProto, folder: Path) -> graph.Inspection:
    return graph.read_model(written(proto, folder / "m.onnx")).signature


def test_names_dtypes_and_symbols(tmp_path: Path) -> None:
    signature = _signature(linear(), tmp_path)
    assert signature.inputs == (TensorSpec("x", "float32", ("batch", 4)),)
    assert signature.outputs == (TensorSpec("y", "float32", ("batch", 4)),)
    assert not signature.dims


@pytest.mark.parametrize("nameless", [None, "?", "-1", ""])
def test_nameless_dimensions_of_inputs_get_stable_names(nameless: str | None, tmp_path: Path) -> None:
    proto = linear(inputs={"x": [nameless, 4]}, outputs={"y": [nameless, 4]})
    signature = _signature(proto, tmp_path)
    assert signature.inputs[0].shape == ("x_dim0", 4)
    assert signature.outputs[0].shape == (None, 4)


@pytest.mark.parametrize("size", [0, -1])
def test_sizes_that_mean_unknown(size: int, tmp_path: Path) -> None:
    proto = linear()
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = size
    assert _signature(proto, tmp_path).inputs[0].shape == ("x_dim0", 4)


def test_initializers_listed_as_inputs_are_none(tmp_path: Path) -> None:
    proto = linear()
    proto.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 4]))
    assert [spec.name for spec in _signature(proto, tmp_path).inputs] == ["x"]


def test_only_ranges_of_dimensions_in_use_are_kept(tmp_path: Path) -> None:
    path = written(linear(), tmp_path / "m.onnx")
    wanted = DimRange(1, 2, 8)
    assert graph.read_model(path, {"batch": wanted, "other": wanted}).signature.dims == {"batch": wanted}


def test_outputs_without_shape_get_the_inferred_one(tmp_path: Path) -> None:
    proto = linear()
    proto.graph.output[0].ClearField("type")
    assert _signature(proto, tmp_path).outputs[0] == TensorSpec("y", "float32", ("batch", 4))


def test_outputs_that_nobody_can_infer(tmp_path: Path) -> None:
    proto = linear()
    proto.graph.node[1].domain, proto.graph.node[1].op_type = "com.microsoft", "Mystery"
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    with pytest.raises(ModelError) as caught:
        _signature(proto, tmp_path)
    assert caught.value.code == "unknown-rank"


def test_sequences_and_maps_are_refused(tmp_path: Path) -> None:
    proto = model([helper.make_node("SequenceConstruct", ["x"], ["y"])])
    proto.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None))
    with pytest.raises(ModelError, match="sequence") as caught:
        _signature(proto, tmp_path)
    assert caught.value.code == "unsupported-type"


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (TensorProto.BFLOAT16, "bfloat16"),
        (TensorProto.FLOAT8E4M3FN, "float8_e4m3fn"),
        (TensorProto.INT4, "int4"),
        (TensorProto.BOOL, "bool"),
        (TensorProto.STRING, "string"),
        (TensorProto.DOUBLE, "float64"),
    ],
)
def test_dtype_names(number: int, name: str, tmp_path: Path) -> None:
    proto = model([helper.make_node("Identity", ["x"], ["y"])])
    proto.graph.input[0].type.tensor_type.elem_type = number
    assert _signature(proto, tmp_path).inputs[0].dtype == name


def test_element_types_know_their_size() -> None:
    from edgetool.graph.element import ELEMENTS

    for number, element in ELEMENTS.items():
        if element.bits in (8, 16, 32, 64, 128):
            dtype = np.dtype(helper.tensor_dtype_to_np_dtype(number))
            assert (element.name, element.bits) == (dtype.name, dtype.itemsize * 8)
    assert set(ELEMENTS) == set(TensorProto.DataType.values()) - {TensorProto.UNDEFINED}
    assert ELEMENTS[TensorProto.INT4].nbytes((3,)) == 2
