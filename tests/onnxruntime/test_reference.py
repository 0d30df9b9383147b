"""The reference runner: every element type, odd shapes, and errors that name the node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool.errors import ConfigError, EdgetoolError, ModelError
from edgetool.graph import digest
from edgetool.testing import ALL_MODELS, MakeModel, feeds_for, open_with_interpreter, tiny_cnn, tiny_int8_cnn, tiny_mlp
from edgetool_onnxruntime.reference import open_onnx
from edgetool_onnxruntime.session import SessionSettings, open_session

value = helper.make_tensor_value_info
FLOAT = TensorProto.FLOAT
WriteGraph = Callable[..., Path]


@pytest.mark.parametrize("make_model", ALL_MODELS)
def test_agrees_with_onnx_itself(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model(tmp_path)
    before = digest(model.path)
    # A value that lies on the edge between two steps may be rounded to either.
    one_step = 1e-2 if make_model is tiny_int8_cnn else 1e-5
    with open_onnx(model.path, 1) as runner, open_with_interpreter(model.path) as expected:
        assert runner.signature.inputs == model.signature.inputs
        assert [spec.name for spec in runner.signature.outputs] == [spec.name for spec in model.signature.outputs]
        for seed in range(3):
            feeds = feeds_for(model.signature, seed=seed)
            for name, array in expected.infer(feeds).items():
                np.testing.assert_allclose(runner.infer(feeds)[name], array, rtol=1e-4, atol=one_step)
    assert digest(model.path) == before


def test_is_deterministic(tmp_path: Path) -> None:
    model = tiny_cnn(tmp_path)
    feeds = feeds_for(model.signature, "max")
    results = [open_onnx(model.path, 2).infer(feeds)["y"].tobytes() for _ in range(3)]
    assert len(set(results)) == 1


def test_added_outputs_are_served(tmp_path: Path) -> None:
    import onnx

    model = tiny_cnn(tmp_path)
    proto = onnx.load(model.path)
    proto.graph.output.append(onnx.ValueInfoProto(name="r1"))
    onnx.save(proto, tmp_path / "more.onnx")
    with open_onnx(tmp_path / "more.onnx", 1) as runner:
        assert runner.infer(feeds_for(model.signature, "min"))["r1"].shape == (1, 8, 8, 8)


@pytest.mark.parametrize(
    ("element", "array"),
    [
        (TensorProto.INT64, np.arange(6).reshape(2, 3)),
        (TensorProto.INT32, np.arange(6, dtype=np.int32).reshape(2, 3)),
        (TensorProto.UINT8, np.arange(6, dtype=np.uint8).reshape(2, 3)),
        (TensorProto.BOOL, np.array([[True, False, True]])),
        (TensorProto.FLOAT16, np.ones((2, 3), np.float16)),
        (TensorProto.DOUBLE, np.ones((2, 3))),
        (TensorProto.STRING, np.array([["a", "bc", ""]], dtype=object)),
        (TensorProto.BFLOAT16, np.array([[1.5, -2, 0.1]], dtype=ml_dtypes.bfloat16)),
        (TensorProto.FLOAT8E4M3FN, np.array([[1.5, -2, 0.125]], dtype=ml_dtypes.float8_e4m3fn)),
        (TensorProto.FLOAT8E5M2, np.array([[1.5, -2, 0.125]], dtype=ml_dtypes.float8_e5m2)),
        (FLOAT, np.zeros((0, 3), np.float32)),
        (TensorProto.BFLOAT16, np.zeros((0, 3), ml_dtypes.bfloat16)),
    ],
    ids=lambda item: str(item.dtype) + str(item.shape) if isinstance(item, np.ndarray) else "",
)
def test_element_types_pass_through(
    element: int, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], write_graph: WriteGraph
) -> None:
    path = write_graph(
        [helper.make_node("Identity", ["x"], ["y"])], [value("x", element, ["n", 3])], [value("y", element, ["n", 3])]
    )
    with open_onnx(path, 1) as runner:
        assert runner.signature.inputs[0].dtype in (array.dtype.name, "string")
        result = runner.infer({"x": array})["y"]
    assert result.dtype == array.dtype
    assert np.array_equal(result, array)


def test_plain_strings_are_taken(write_graph: WriteGraph) -> None:
    text = TensorProto.STRING
    path = write_graph(
        [helper.make_node("Identity", ["x"], ["y"])], [value("x", text, ["n"])], [value("y", text, ["n"])]
    )
    with open_onnx(path, 1) as runner:
        assert list(runner.infer({"x": np.array(["a", "bc"])})["y"]) == ["a", "bc"]


def test_scalars(write_graph: WriteGraph) -> None:
    path = write_graph([helper.make_node("Neg", ["x"], ["y"])], [value("x", FLOAT, [])], [value("y", FLOAT, [])])
    with open_onnx(path, 1) as runner:
        assert runner.infer({"x": np.float32(2)})["y"] == -2  # type: ignore[dict-item] # numpy scalars count as arrays
        assert runner.infer({"x": np.array(2, np.float32)})["y"].shape == ()


def test_nameless_dimensions_get_a_name(write_graph: WriteGraph) -> None:
    path = write_graph(
        [helper.make_node("Neg", ["x"], ["y"])], [value("x", FLOAT, [None, 3])], [value("y", FLOAT, [None, 3])]
    )
    with open_onnx(path, 1) as runner:
        assert runner.signature.inputs[0].shape == ("x_dim0", 3)
        assert runner.signature.outputs[0].shape == (None, 3)


def test_non_contiguous_feeds(tmp_path: Path) -> None:
    model = tiny_mlp(tmp_path)
    feed = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(2, 6))[::2]
    with open_onnx(model.path, 1) as runner:
        assert np.array_equal(runner.infer({"x": feed})["y"], runner.infer({"x": feed.copy()})["y"])


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_are_obeyed(threads: int, tmp_path: Path) -> None:
    tasks = Path("/proc/self/task")
    before = len(list(tasks.iterdir()))
    session = open_session(tiny_mlp(tmp_path).path, SessionSettings(threads=threads))
    assert len(list(tasks.iterdir())) - before == threads - 1, "the calling thread works, too"
    assert session.get_session_options().intra_op_num_threads == threads


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, "no feed for input 'x'"),
        ({"x": np.zeros((1, 6), np.float32), "mask": np.zeros(1)}, "'mask' is not an input"),
        ({"x": np.zeros((1, 6))}, "wants float32, got float64"),
        ({"x": np.zeros(6, np.float32)}, "wants 2 dimensions, got 1"),
        ({"x": np.zeros((1, 7), np.float32)}, "wants size 6 on axis 1, got 7"),
        ({"x": [[0.0] * 6]}, "wants a numpy array, got list"),
    ],
)
def test_wrong_feeds(
    feeds: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]], message: str, tmp_path: Path
) -> None:
    path = tiny_mlp(tmp_path).path
    with open_onnx(path, 1) as runner, pytest.raises(ConfigError, match=message) as caught:
        runner.infer(feeds)
    assert caught.value.code == "wrong-feeds"
    assert caught.value.where == str(path)
    assert "x: float32[1, 6]" in str(caught.value.hint)


def test_closed_runner(tmp_path: Path) -> None:
    model = tiny_mlp(tmp_path)
    runner = open_onnx(model.path, 1)
    runner.close()
    with pytest.raises(ConfigError) as caught:
        runner.infer(feeds_for(model.signature))
    assert caught.value.code == "runner-closed"


def _open(path: Path) -> EdgetoolError:
    with pytest.raises(EdgetoolError) as caught:
        open_onnx(path, 1)
    assert str(path) in str(caught.value.where)
    assert "onnxruntime_src" not in str(caught.value), "source lines of ONNX Runtime are of no use"
    return caught.value


def test_missing_file(tmp_path: Path) -> None:
    error = _open(tmp_path / "no.onnx")
    assert (error.code, error.exit_code) == ("model-not-found", 2)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08", b"PK\x03\x04 zip"])
def test_no_onnx_at_all(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert _open(path).exit_code == 3


def test_truncated_file(tmp_path: Path) -> None:
    path = tiny_cnn(tmp_path).path
    path.write_bytes(path.read_bytes()[:-40])
    assert _open(path).code == "damaged-model"


def test_operator_of_another_domain(write_graph: WriteGraph) -> None:
    node = helper.make_node("Mystery", ["x"], ["y"], name="mystery", domain="com.microsoft")
    error = _open(write_graph([node], [value("x", FLOAT, [1])], [value("y", FLOAT, [1])]))
    assert error.code == "unknown-to-onnxruntime"
    assert str(error.where).endswith("node mystery")
    assert "Mystery of domain 'com.microsoft'" in error.message


def test_nameless_node_is_found_by_its_operator(write_graph: WriteGraph) -> None:
    nodes = [helper.make_node("Neg", ["x"], ["a"]), helper.make_node("Mystery", ["a"], ["y"], domain="com.microsoft")]
    error = _open(write_graph(nodes, [value("x", FLOAT, [1])], [value("y", FLOAT, [1])]))
    assert str(error.where).endswith("node Mystery#1")


def test_type_without_kernel(write_graph: WriteGraph) -> None:
    node = helper.make_node("Sin", ["x"], ["y"], name="sine")
    half = TensorProto.BFLOAT16
    error = _open(write_graph([node], [value("x", half, [1])], [value("y", half, [1])]))
    assert error.code == "no-kernel"
    assert str(error.where).endswith("node sine")
    assert "tensor(bfloat16)" in error.message


def test_two_types_where_one_is_wanted(write_graph: WriteGraph) -> None:
    node = helper.make_node("Add", ["x", "i"], ["y"], name="sum")
    error = _open(
        write_graph([node], [value("x", FLOAT, [1]), value("i", TensorProto.INT64, [1])], [value("y", FLOAT, [1])])
    )
    assert error.code == "refused-by-onnxruntime"
    assert str(error.where).endswith("node sum")


def test_shapes_that_do_not_fit(write_graph: WriteGraph) -> None:
    weight = numpy_helper.from_array(np.zeros((4, 2), np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    error = _open(write_graph([node], [value("x", FLOAT, [1, 3])], [value("y", FLOAT, [1, 2])], [weight]))
    assert "Incompatible dimensions" in error.message
    assert str(error.where).endswith("node product")


def test_opset_newer_than_onnxruntime(write_graph: WriteGraph) -> None:
    import onnx.defs

    newest = onnx.defs.onnx_opset_version()
    node = helper.make_node("Neg", ["x"], ["y"])
    path = write_graph([node], [value("x", FLOAT, [1])], [value("y", FLOAT, [1])], opset=newest)
    error = _open(path)
    assert error.code == "opset-too-new"
    assert "convert-opset" in str(error.hint)


@pytest.mark.parametrize("kind", ["sequence", "optional", "int4"])
def test_outputs_that_are_no_plain_tensors(kind: str, write_graph: WriteGraph) -> None:
    tensor = helper.make_tensor_type_proto(FLOAT, None)
    node, output = {
        "sequence": (
            helper.make_node("SequenceConstruct", ["x"], ["y"]),
            helper.make_tensor_sequence_value_info("y", FLOAT, None),
        ),
        "optional": (
            helper.make_node("Optional", ["x"], ["y"]),
            helper.make_value_info("y", helper.make_optional_type_proto(tensor)),
        ),
        "int4": (
            helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT4),
            value("y", TensorProto.INT4, [1]),
        ),
    }[kind]
    error = _open(write_graph([node], [value("x", FLOAT, [1])], [output], opset=21))
    assert error.code == "unsupported-type"
    assert "'y'" in error.message


def test_failure_while_running_names_the_node(write_graph: WriteGraph) -> None:
    weight = numpy_helper.from_array(np.zeros((4, 2), np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    path = write_graph([node], [value("x", FLOAT, ["n", "k"])], [value("y", FLOAT, ["n", 2])], [weight])
    with open_onnx(path, 1) as runner:
        with pytest.raises(ModelError) as caught:
            runner.infer({"x": np.zeros((2, 3), np.float32)})
        assert caught.value.code == "inference-failed"
        assert str(caught.value.where).endswith("node product")
        assert caught.value.message == "MatMul dimension mismatch"
        assert runner.infer({"x": np.zeros((2, 4), np.float32)})["y"].shape == (2, 2)
