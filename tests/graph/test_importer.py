"""The ONNX importer: what is declared is checked, written down and proven; the source stays as it is."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgetool import graph
from edgetool.context import ImportContext
from edgetool.errors import EdgetoolError
from edgetool.importers.base import ImportRequest, ImportResult, Source
from edgetool.signature import DimRange, TensorSpec
from edgetool.testing.samples import GivenSamples
from edgetool_onnx.importer import OnnxImporter, OnnxOptions
from edgetool_onnxruntime.reference import open_onnx
from tests.graph.building import linear, model, with_external_weight, written

Feed = Mapping[str, np.ndarray[Any, Any]]
BATCH = {"batch": DimRange(1, 2, 5)}


@dataclass
class Importing:
    """Imports one model, and keeps the notes."""

    workdir: Path
    notes: list[str] = field(default_factory=list)

    def __call__(
        self, source: onnx.ModelProto | Path, request: ImportRequest | None = None, samples: GivenSamples | None = None
    ) -> ImportResult:
        path = source if isinstance(source, Path) else written(source, self.workdir.parent / "source.onnx")
        self.workdir.mkdir()
        context = ImportContext(
            threads=1, open_reference=functools.partial(open_onnx, threads=1), samples=samples, note=self.notes.append
        )
        wanted = Source(str(path), path, None, None, path.parent)
        return OnnxImporter(OnnxOptions()).convert(wanted, request or ImportRequest(), self.workdir, context)


@pytest.fixture
def importing(tmp_path: Path) -> Importing:
    return Importing(tmp_path / "work")


def _declared(*shape: int | str, name: str = "x", dtype: str = "float32") -> ImportRequest:
    dims = {dim: DimRange(1, 2, 5) for dim in shape if isinstance(dim, str)}
    return ImportRequest(inputs=(TensorSpec(name, dtype, shape),), dims=dims)


def test_a_plain_file_is_copied_byte_for_byte_and_proven(importing: Importing, tmp_path: Path) -> None:
    result = importing(linear(), ImportRequest(dims=BATCH))
    assert result.model.path.read_bytes() == (tmp_path / "source.onnx").read_bytes()
    assert result.model.signature.dims == BATCH
    assert result.facts["proven_at"] == [{"batch": 2}, {"batch": 1}, {"batch": 5}]
    assert result.facts["unproven"] is None
    assert not importing.notes


def test_external_data_lands_safely_beside_the_copy(importing: Importing, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    path = with_external_weight(source)
    before = {item.name: item.read_bytes() for item in source.iterdir()}
    result = importing(path, ImportRequest(dims=BATCH))
    assert {item.name: item.read_bytes() for item in source.iterdir()} == before
    assert all(part.parent == importing.workdir for part in graph.files(result.model.path))
    graph.check(result.model.path)


def test_without_ranges_the_note_says_what_is_not_proven(importing: Importing) -> None:
    result = importing(linear())
    assert result.facts["proven_at"] == [{}]
    assert "'batch'" in importing.notes[0]


def test_declared_names_replace_those_of_the_file_everywhere(importing: Importing) -> None:
    result = importing(linear(inputs={"x": ["unk__1", 4]}, outputs={"y": ["unk__1", 4]}), _declared("n", 4))
    signature = result.model.signature
    assert signature.inputs[0].shape == ("n", 4)
    assert signature.outputs[0].shape == ("n", 4)
    assert graph.read_model(result.model.path).signature.inputs == signature.inputs


def test_declared_names_for_nameless_axes(importing: Importing) -> None:
    result = importing(linear(inputs={"x": [None, 4]}, outputs={"y": [None, 4]}), _declared("n", 4))
    assert result.model.signature.inputs[0].shape == ("n", 4)


def test_a_declared_size_fixes_a_dynamic_axis(importing: Importing) -> None:
    result = importing(linear(), _declared(3, 4))
    assert result.model.signature.inputs[0].shape == (3, 4)
    assert result.model.signature.outputs[0].shape == (3, 4)


def _wrong(request: ImportRequest, proto: onnx.ModelProto | None = None) -> tuple[onnx.ModelProto, ImportRequest]:
    return proto or linear(), request


TWO_INPUTS = model(
    [helper.make_node("Add", ["image", "bias"], ["y"])], {"image": ["n", 4], "bias": ["n", 4]}, {"y": ["n", 4]}
)
MISTAKES: dict[str, tuple[tuple[onnx.ModelProto, ImportRequest], str, int, str]] = {
    "misspelt input": (_wrong(_declared("n", 4, name="imagee"), TWO_INPUTS), "unknown-input", 2, "'imagee'"),
    "forgotten input": (_wrong(_declared("n", 4, name="image"), TWO_INPUTS), "missing-input", 2, "'bias'"),
    "dtype": (_wrong(_declared("n", 4, dtype="int64")), "input-mismatch", 2, "int64"),
    "rank": (_wrong(_declared("n", 4, 1)), "input-mismatch", 2, "3 dimensions"),
    "size": (_wrong(_declared("n", 5)), "input-mismatch", 2, "axis 1 is declared as 5, but the model has 4"),
    "frozen axis": (_wrong(_declared("n", "m")), "frozen-dimension", 3, "axis 1 of input 'x' is fixed to 4"),
    "tied axes": (
        _wrong(
            ImportRequest(inputs=(TensorSpec("image", "float32", ("a", 4)), TensorSpec("bias", "float32", ("b", 4)))),
            TWO_INPUTS,
        ),
        "input-mismatch",
        2,
        "ties",
    ),
    "unknown dimension": (_wrong(ImportRequest(dims={"bach": DimRange(1, 1, 2)})), "unknown-dimension", 2, "'bach'"),
    "unknown output": (_wrong(ImportRequest(outputs=("z",))), "unknown-output", 2, "'z'"),
    "impossible opset": (_wrong(ImportRequest(opset=99)), "opset-conversion-failed", 3, "99"),
    "nan": (
        _wrong(ImportRequest(), linear(np.full((4, 4), np.nan, np.float32))),
        "non-finite-weight",
        3,
        "16 NaN",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake(mistake: str, importing: Importing) -> None:
    (proto, request), code, exit_code, words = MISTAKES[mistake]
    with pytest.raises(EdgetoolError) as caught:
        importing(proto, request)
    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)
    assert words in caught.value.message
    assert caught.value.where
    assert not list(importing.workdir.iterdir()), "a refused model leaves nothing behind"


def test_a_misspelt_name_is_answered_with_the_right_one(importing: Importing) -> None:
    with pytest.raises(EdgetoolError) as caught:
        importing(TWO_INPUTS, _declared("n", 4, name="imagee"))
    assert caught.value.hint == "did you mean 'image'?"
    assert caught.value.where == "[model.inputs.imagee]"


def _baked(size: int) -> onnx.ModelProto:
    """Looks dynamic in both dimensions, but a Reshape carries the example's length."""
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["r"], name="flatten"),
        helper.make_node("Reshape", ["r", "back"], ["y"], name="unflatten"),
    ]
    weights = {"shape": np.array([0, size * 4]), "back": np.array([0, size, 4])}
    return model(nodes, {"x": ["batch", "length", 4]}, {"y": ["batch", "length", 4]}, weights)


def test_a_baked_length_is_refused_naming_the_dimension(importing: Importing) -> None:
    dims = {"batch": DimRange(1, 2, 3), "length": DimRange(5, 7, 9)}
    with pytest.raises(EdgetoolError) as caught:
        importing(_baked(7), ImportRequest(dims=dims))
    error = caught.value
    assert (error.code, error.exit_code) == ("frozen-dimension", 3)
    assert error.message.startswith("'length' is declared dynamic")
    assert "runs at batch=2, length=7 but not at batch=1, length=5" in error.message
    assert "flatten" in error.message
    assert "cannot be reshaped" in error.message, "the runtime's own words"


def test_a_baked_size_that_no_tried_size_hits(importing: Importing) -> None:
    with pytest.raises(EdgetoolError) as caught:
        importing(_baked(6), ImportRequest(dims={"batch": DimRange(1, 1, 1), "length": DimRange(5, 7, 9)}))
    assert caught.value.code == "frozen-dimension"
    assert "'length'" in caught.value.message


def test_a_model_that_never_runs(importing: Importing) -> None:
    with pytest.raises(EdgetoolError) as caught:
        importing(_baked(6), _fixed(batch=1, length=5))
    assert caught.value.code == "model-does-not-run"


def _fixed(**sizes: int) -> ImportRequest:
    return ImportRequest(dims={name: DimRange(size, size, size) for name, size in sizes.items()})


def _embedding(rows: int) -> onnx.ModelProto:
    """Token ids to vectors; ids beyond the table fail."""
    nodes = [helper.make_node("Gather", ["table", "ids"], ["y"], name="lookup")]
    proto = model(nodes, {"ids": ["n"]}, {"y": ["n", 3]}, {"table": np.ones((rows, 3), np.float32)})
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    return proto


def test_integers_are_kept_small(importing: Importing) -> None:
    result = importing(_embedding(2), ImportRequest(dims={"n": DimRange(1, 2, 3)}))
    assert result.facts["unproven"] is None


def test_integers_that_cannot_be_guessed_leave_it_unproven(importing: Importing) -> None:
    nodes = [
        helper.make_node("Sub", ["ids", "offset"], ["i"]),
        helper.make_node("Gather", ["table", "i"], ["y"], name="lookup"),
    ]
    weights = {"table": np.ones((4, 3), np.float32), "offset": np.array(1000)}
    proto = model(nodes, {"ids": ["n"]}, {"y": ["n", 3]}, weights)
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    request = ImportRequest(dims={"n": DimRange(1, 2, 3)})
    assert "made-up integers" in str(importing(proto, request).facts["unproven"])

    with_samples = Importing(importing.workdir.parent / "second")
    samples = GivenSamples(({"ids": np.array([1000, 1003])},))
    assert with_samples(proto, request, samples).facts["unproven"] is None


def test_text_cannot_be_made_up(importing: Importing) -> None:
    proto = model([helper.make_node("Identity", ["x"], ["y"])])
    for value in (proto.graph.input[0], proto.graph.output[0]):
        value.type.tensor_type.elem_type = TensorProto.STRING
    assert "string" in str(importing(proto).facts["unproven"])


def test_an_output_declared_frozen_but_computed_otherwise_is_corrected(importing: Importing) -> None:
    proto = linear(outputs={"y": [1, 4]})
    result = importing(proto, ImportRequest(dims=BATCH))
    assert result.model.signature.outputs[0].shape == (None, None)
    assert result.facts["corrected_outputs"] == ["y"]
    assert "y" in importing.notes[0]


def test_wanted_outputs_in_wanted_order(importing: Importing) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Neg", ["x"], ["b"])]
    proto = model(nodes, outputs={"a": ["batch", 4], "b": ["batch", 4]})
    result = importing(proto, ImportRequest(outputs=("b", "a")))
    assert [spec.name for spec in result.model.signature.outputs] == ["b", "a"]


def test_wanted_opset(importing: Importing) -> None:
    result = importing(linear(), ImportRequest(opset=20, dims=BATCH))
    assert (result.facts["opset"], result.facts["source_opset"]) == (20, 17)
    assert graph.inspect(result.model.path).opsets == {"ai.onnx": 20}


def test_an_input_of_unknown_rank_can_be_declared(importing: Importing) -> None:
    proto = linear()
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    result = importing(proto, _declared("n", 4))
    assert result.model.signature.inputs[0].shape == ("n", 4)


def test_an_output_without_type_gets_the_inferred_one(importing: Importing) -> None:
    proto = linear()
    proto.graph.output[0].ClearField("type")
    result = importing(proto, ImportRequest(dims=BATCH))
    assert result.model.signature.outputs[0].shape == ("batch", 4)
