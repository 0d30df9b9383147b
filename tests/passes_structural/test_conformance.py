"""Our own passes keep the promises that we ask of third parties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from edgetool.artifact import Model
from edgetool.graph import read_model
from edgetool.testing import (
    PassConformance,
    foreign_operator,
    tiny_branches,
    tiny_cnn,
    tiny_int8_cnn,
    tiny_lstm,
    tiny_mlp,
    tiny_text,
)
from edgetool_passes.cast_fp16 import CastFp16
from edgetool_passes.convert_opset import ConvertOpset
from edgetool_passes.simplify import Simplify
from edgetool_passes.specialize import Specialize

EVERY_MODEL = (tiny_mlp, tiny_cnn, tiny_int8_cnn, tiny_lstm, tiny_branches, tiny_text)


def untidy_cnn(folder: Path) -> Model:
    """`tiny_cnn` with a node to remove and a constant to fold."""
    from onnx import helper, numpy_helper

    clean = tiny_cnn(folder)
    proto = onnx.load(clean.path)
    head = proto.graph.node[-1]
    for tensor in proto.graph.initializer:
        if tensor.name == "head":
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).T.copy(), "head_t"))
    head.input[1] = "head"
    proto.graph.node.insert(0, helper.make_node("Transpose", ["head_t"], ["head"], name="transpose"))
    proto.graph.node.insert(1, helper.make_node("Sqrt", ["head"], ["nobody_reads_this"], name="dead"))
    path = folder / "untidy_cnn.onnx"
    onnx.save(proto, path)
    return read_model(path, clean.signature.dims)


class TestSimplify(PassConformance):
    pass_class = Simplify
    models = (*EVERY_MODEL, untidy_cnn)
    min_cosine = 1 - 1e-6


class TestSpecialize(PassConformance):
    pass_class = Specialize
    options = {"dims": {"batch": 2}}  # a ClassVar in the base class
    models = (tiny_cnn, tiny_lstm)
    refused = (tiny_mlp,)
    min_cosine = None

    def test_inputs_are_static(self, model: Model, tmp_path: Path) -> None:
        signature = self.apply(model, tmp_path / "out").model.signature
        assert "batch" not in signature.symbols
        assert all(spec.shape[0] == 2 for spec in (*signature.inputs, *signature.outputs))


class TestConvertOpset(PassConformance):
    pass_class = ConvertOpset
    options = {"opset": 21}
    models = EVERY_MODEL
    min_cosine = 1 - 1e-6


class TestCastFp16(PassConformance):
    pass_class = CastFp16
    models = EVERY_MODEL
    min_cosine = 0.9999


class TestCastFp16WithoutData(PassConformance):
    pass_class = CastFp16
    models = EVERY_MODEL
    samples = 0
    min_cosine = 0.9999


def test_operators_of_runtimes_pass_through(tmp_path: Path) -> None:
    """A pass cannot judge them, so it leaves them alone; the backend says what it thinks."""
    model = foreign_operator(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    from edgetool.context import PassContext
    from edgetool.testing import open_with_interpreter

    context = PassContext(threads=1, open_reference=open_with_interpreter)
    for chosen in (Simplify(Simplify.Options()), CastFp16(CastFp16.Options())):
        result = chosen.apply(model, out, context)
        assert np.isin("mystery", [node.name for node in onnx.load(result.model.path).graph.node])
