"""What users get wrong: each is refused with a reason, an exit code and nothing half-written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgetool.artifact import Model
from edgetool.errors import ConfigError, EdgetoolError, ModelError
from edgetool.graph import read_model
from edgetool.signature import DimRange, Signature, TensorSpec
from edgetool.testing import foreign_operator, tiny_cnn, tiny_int8_cnn, tiny_mlp
from tests.tensorrt import typed_models as typed
from tests.tensorrt.rtx import build_rtx

pytest.importorskip("tensorrt_rtx")

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
_RELU = helper.make_node("Relu", ["x"], ["y"], name="relu")


def refusal(model: Model, directory: Path, **options: object) -> EdgetoolError:
    """The error of a build that must fail."""
    with pytest.raises(EdgetoolError) as raised:
        build_rtx(model, directory, **options)  # type: ignore[arg-type] # a test passes what it likes
    assert not list(directory.iterdir())
    assert "cuda" not in str(raised.value).lower()
    assert raised.value.hint
    return raised.value


def unread(path: Path) -> Model:
    """A model whose file nobody looked into."""
    spec = TensorSpec("x", "float32", (1, 4)), TensorSpec("y", "float32", (1, 4))
    return Model(path, Signature((spec[0],), (spec[1],)))


DAMAGE: Mapping[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "garbage": lambda content: b"hello world" * 10,
    "truncated": lambda content: content[: len(content) // 2],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files(tmp_path: Path, damage: str) -> None:
    """The parser accepts an empty file and garbage, and finds no outputs in them."""
    sound = tiny_mlp(tmp_path).path
    sound.write_bytes(DAMAGE[damage](sound.read_bytes()))
    assert refusal(unread(sound), tmp_path / "engine").exit_code == 3


def test_missing_file(tmp_path: Path) -> None:
    assert refusal(unread(tmp_path / "none.onnx"), tmp_path / "engine").code == "model-not-found"


def test_missing_external_data(tmp_path: Path) -> None:
    import onnx

    proto = onnx.load(tiny_mlp(tmp_path).path)
    path = tmp_path / "apart.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    assert refusal(unread(path), tmp_path / "engine").code == "broken-external-data"


def test_no_outputs(tmp_path: Path) -> None:
    path = typed.save(tmp_path / "model.onnx", [_RELU], [("x", FLOAT, (4,))], [])
    error = refusal(unread(path), tmp_path / "engine")
    assert (error.code, error.message) == ("refused-by-tensorrt-rtx", "the model has no outputs")


def test_opset_of_the_future(tmp_path: Path) -> None:
    path = typed.save(tmp_path / "model.onnx", [_RELU], [("x", FLOAT, (4,))], [("y", FLOAT, (4,))], opset=99)
    assert refusal(unread(path), tmp_path / "engine").code == "unsupported-opset"


def test_sizes_beyond_32_bits(tmp_path: Path) -> None:
    path = typed.save(tmp_path / "model.onnx", [_RELU], [("x", FLOAT, (2**31,))], [("y", FLOAT, (2**31,))])
    error = refusal(read_model(path), tmp_path / "engine")
    assert error.code == "wrong-profile"
    assert "axis 0 of input 'x' has size 2147483648" in error.message


def test_a_dimension_without_a_range(tmp_path: Path) -> None:
    path = typed.save(
        tmp_path / "model.onnx", [_RELU], [("x", FLOAT, ("batch", None, 4))], [("y", FLOAT, ("batch", None, 4))]
    )
    error = refusal(read_model(path), tmp_path / "engine")
    assert error.code == "wrong-profile"
    assert "axis 0 of input 'x' (batch)" in error.message and "(x_dim1)" in error.message


@pytest.mark.parametrize("one", [DimRange(3, 2, 4), DimRange(0, 1, 4), DimRange(1, 8, 4), DimRange(1, 1, 2**31)])
def test_inverted_and_impossible_ranges(tmp_path: Path, one: DimRange) -> None:
    model = read_model(tiny_cnn(tmp_path).path, {"batch": one})
    error = refusal(model, tmp_path / "engine")
    assert error.code == "wrong-profile" and "'batch'" in error.message


def test_a_fixed_size_that_the_network_contradicts(tmp_path: Path) -> None:
    """What the parser does not see, the builder says: in our words, without its source lines."""
    nodes = [helper.make_node("Concat", ["x", "z"], ["y"], name="join", axis=0)]
    path = typed.save(
        tmp_path / "model.onnx",
        nodes,
        [("x", FLOAT, ("batch", 4)), ("z", FLOAT, (1, 5))],
        [("y", FLOAT, ("all", None))],
    )
    error = refusal(read_model(path, {"batch": DimRange(1, 1, 2)}), tmp_path / "engine")
    assert error.code == "refused-by-tensorrt-rtx"
    assert ".cpp" not in error.message and "Error Code" not in error.message


def test_float8_for_ampere(tmp_path: Path) -> None:
    error = refusal(typed.float8(tmp_path, "float16"), tmp_path / "engine", sm=86)
    assert error.code == "type-not-on-gpu"
    assert error.message == "compute capability 86 has no float8_e4m3fn: xq, xd, wd"


def test_float32_products_for_turing(tmp_path: Path) -> None:
    error = refusal(tiny_int8_cnn(tmp_path), tmp_path / "engine", sm=75)
    assert error.message == "compute capability 75 has no float32 GEMM: head"
    assert "cast-fp16" in (error.hint or "")


def test_float64_interface(tmp_path: Path) -> None:
    double = TensorProto.DOUBLE
    path = typed.save(tmp_path / "model.onnx", [_RELU], [("x", double, (4,))], [("y", double, (4,))])
    error = refusal(read_model(path), tmp_path / "engine")
    assert error.code == "binding-changed"
    assert "'x' is float64 and would become float32" in error.message


def test_values_that_decide_shapes(tmp_path: Path) -> None:
    node = helper.make_node("Reshape", ["x", "shape"], ["y"], name="reshape")
    path = typed.save(
        tmp_path / "model.onnx", [node], [("x", FLOAT, (4, 4)), ("shape", INT64, (2,))], [("y", FLOAT, (None, None))]
    )
    error = refusal(read_model(path), tmp_path / "engine")
    assert error.message == "the values of 'shape' decide shapes"


def test_parsed_and_yet_not_buildable(tmp_path: Path) -> None:
    node = helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "overlap"], ["y"], name="suppress")
    path = typed.save(
        tmp_path / "model.onnx",
        [node],
        [("boxes", FLOAT, (1, 10, 4)), ("scores", FLOAT, (1, 2, 10))],
        [("y", INT64, (None, 3))],
        {"most": np.array([5]), "overlap": np.array([0.5], np.float32)},
    )
    error = refusal(read_model(path), tmp_path / "engine")
    assert error.message == "a node is parsed, but no kernel implements it: suppress"


def test_a_foreign_operator(tmp_path: Path) -> None:
    error = refusal(foreign_operator(tmp_path), tmp_path / "engine")
    assert isinstance(error, ModelError)
    assert error.message == "Mystery is no operator of ONNX, and there is no plugin of that name: mystery"


def test_workspace_too_small(tmp_path: Path) -> None:
    error = refusal(typed.convolution(tmp_path, "float32"), tmp_path / "engine", workspace=1)
    assert (error.code, error.message) == ("workspace-too-small", "no kernel works within 1 MiB of scratch memory")


def test_options_of_boards(tmp_path: Path) -> None:
    error = refusal(tiny_mlp(tmp_path), tmp_path / "engine", dla_core=0)
    assert isinstance(error, ConfigError)
    assert error.code == "wrong-options"


def test_many_bad_nodes_are_counted(tmp_path: Path) -> None:
    nodes = [helper.make_node("Det", [f"m{index}"], [f"d{index}"], name=f"det{index}") for index in range(12)]
    inputs = [(f"m{index}", FLOAT, (2, 2)) for index in range(12)]
    path = typed.save(tmp_path / "model.onnx", nodes, inputs, [(f"d{index}", FLOAT, ()) for index in range(12)])
    error = refusal(read_model(path), tmp_path / "engine")
    assert error.message == "the parser has no Det: det0, det1, det2, det3, det4 and 7 more"


def test_reasons_are_heard_while_an_older_error_is_held(tmp_path: Path) -> None:
    """One log serves the process; a traceback that kept the first builder alive would leave the second without."""
    first = refusal(tiny_int8_cnn(tmp_path), tmp_path / "first", sm=75)
    second = refusal(typed.float8(tmp_path, "float16"), tmp_path / "second", sm=80)
    assert first.__traceback__ is not None
    assert second.code == "type-not-on-gpu"
