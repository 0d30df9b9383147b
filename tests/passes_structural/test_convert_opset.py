"""convert-opset: to an opset, or down to what the target reads."""

from __future__ import annotations

import pytest
from onnx import helper

from edgetool import graph
from edgetool.errors import ModelError
from edgetool_passes.convert_opset import ConvertOpset, ConvertOpsetOptions
from tests.graph.building import linear, model
from tests.passes_structural.conftest import Applying


@pytest.mark.parametrize(
    ("opset", "newest", "result"),
    [(20, None, 20), (None, 13, 13), (None, 21, 17), (20, 18, 18), (17, None, 17), (None, None, 17)],
)
def test_where_it_goes(opset: int | None, newest: int | None, result: int, applying: Applying) -> None:
    nodes = [helper.make_node("Abs", ["x"], ["y"])]
    done = applying(ConvertOpset(ConvertOpsetOptions(opset=opset, max_opset=newest)), model(nodes))
    assert graph.inspect(done.model.path).opsets == {"ai.onnx": result}
    assert done.changed == (result != 17)


def test_the_fact_of_the_target_fills_the_limit() -> None:
    assert ConvertOpsetOptions.model_fields["max_opset"].json_schema_extra == {"fact": "max_opset"}


def test_what_cannot_go_down_is_named(applying: Applying) -> None:
    proto = linear()
    proto.graph.node[1].op_type = "Mish"
    proto.opset_import[0].version = 18
    with pytest.raises(ModelError) as caught:
        applying(ConvertOpset(ConvertOpsetOptions(max_opset=13)), proto)
    assert caught.value.code == "opset-conversion-failed"
    assert "Mish" in caught.value.message
    assert "rectify" in (caught.value.where or "")
