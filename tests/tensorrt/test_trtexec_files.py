"""Files that go into trtexec and come out of it: inputs, outputs, times."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgetool.errors import BudgetError, DeviceError, ModelError
from edgetool.signature import Signature, TensorSpec
from edgetool_tensorrt.trtexec import input_bytes, read_outputs, read_times
from edgetool_tensorrt.version import Version

TEN = Version(10, 3)


def signature(**outputs: str) -> Signature:
    return Signature((), tuple(TensorSpec(name, dtype, ()) for name, dtype in outputs.items()))


OUTPUTS = """[
  { "name" : "logits"
  , "dimensions" : "2x3"
  , "values" : [ 0.123457, -1.5e-07, nan, inf, -inf, -nan ]
  }
, { "name" : "ids"
  , "dimensions" : "2"
  , "values" : [ 9223372036854775807, -3 ]
  }
, { "name" : "mask"
  , "dimensions" : "1x2"
  , "values" : [ 1, 0 ]
  }
, { "name" : "half"
  , "dimensions" : "1"
  , "values" : [ 0.333252 ]
  }
, { "name" : "score"
  , "dimensions" : ""
  , "values" : [ 3 ]
  }
, { "name" : "nothing"
  , "dimensions" : "0x4"
  , "values" : [  ]
  }
]
"""


def test_outputs_come_back_in_the_types_of_the_model() -> None:
    types = {
        "logits": "float32",
        "ids": "int64",
        "mask": "bool",
        "half": "float16",
        "score": "float32",
        "nothing": "int32",
    }
    found = read_outputs(OUTPUTS, signature(**types))
    assert {name: (str(array.dtype), array.shape) for name, array in found.items()} == {
        "logits": ("float32", (2, 3)),
        "ids": ("int64", (2,)),
        "mask": ("bool", (1, 2)),
        "half": ("float16", (1,)),
        "score": ("float32", ()),
        "nothing": ("int32", (0, 4)),
    }
    assert found["ids"].tolist() == [2**63 - 1, -3]
    assert found["mask"].tolist() == [[True, False]]
    row = found["logits"].reshape(-1)
    assert row[0] == np.float32(0.123457)
    assert row[1] == np.float32(-1.5e-07)
    assert np.isnan(row[2])
    assert (row[3], row[4]) == (math.inf, -math.inf)
    assert np.isnan(row[5])


def test_bfloat16_outputs() -> None:
    text = '[ { "name" : "y", "dimensions" : "2", "values" : [ 1.5, -2 ] } ]'
    found = read_outputs(text, signature(y="bfloat16"))["y"]
    assert (found.dtype.name, found.tolist()) == ("bfloat16", [1.5, -2.0])


def test_a_shape_that_depends_on_data_is_the_one_that_was_reported() -> None:
    text = """[
  { "name" : "kept"
  , "dimensions" : "-1x2"
  , "values" : [ Final shape is 3x2 reported by the output allocator.
1, 2, 3, 4, 5, 6 ]
  }
]"""
    assert read_outputs(text, signature(kept="int32"))["kept"].tolist() == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        OUTPUTS[:120],
        "[]",
        "{}",
        "[1, 2]",
        '[ { "name" : "y", "dimensions" : "2x2", "values" : [ 1, 2, 3 ] } ]',
        '[ { "name" : "y", "dimensions" : "-1x-4", "values" : [ 1, 2, 3, 4 ] } ]',
        '[ { "name" : "y", "dimensions" : "1", "values" : [ "x" ] } ]',
        '[ { "name" : "y", "values" : [ 1 ] } ]',
        '[ { "name" : "z", "dimensions" : "1", "values" : [ 1 ] } ]',
        '[ { "name" : "y", "dimensions" : "1", "values" : [ null ] } ]',
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_spoiled_outputs_are_refused(text: str, dtype: str) -> None:
    with pytest.raises(BudgetError) as caught:
        read_outputs(text, signature(y=dtype))
    assert (caught.value.code, caught.value.exit_code) == ("unreadable-outputs", 4)


def test_integers_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(BudgetError):
        read_outputs('[ { "name" : "y", "dimensions" : "1", "values" : [ nan ] } ]', signature(y="int32"))


TIMES = """[
  { "startEnqMs" : 200.1, "endEnqMs" : 200.2, "startH2dMs" : 0, "endH2dMs" : 0.5, "startComputeMs" : 0.5,
"endComputeMs" : 4.5, "startD2hMs" : 4.5, "endD2hMs" : 5, "h2dMs" : 0.5, "computeMs" : 4, "d2hMs" : 0.5,
"latencyMs" : 5 }
, { "startEnqMs" : 205.1, "endEnqMs" : 205.2, "h2dMs" : 0.5, "computeMs" : 4.25, "d2hMs" : 0.5, "latencyMs" : 5.25,
"endToEndMs" : 7 }
]
"""


def test_times_are_those_of_the_gpu_in_seconds() -> None:
    assert read_times(TIMES) == [0.004, 0.00425]


@pytest.mark.parametrize(
    "text", ["", "[]", TIMES[:90], '[{"latencyMs": 1}]', '[{"computeMs": -1}]', '[{"computeMs": 1e999}]', "{}", "[3]"]
)
def test_spoiled_times_are_refused(text: str) -> None:
    with pytest.raises(DeviceError, match="times"):
        read_times(text)


def test_inputs_are_raw_bytes_in_c_order() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert input_bytes(TEN, array) == array.tobytes()
    assert input_bytes(TEN, np.asfortranarray(array)) == array.tobytes()
    assert input_bytes(TEN, array.astype(">f4")) == array.astype("<f4").tobytes()
    assert input_bytes(TEN, np.array([True, False])) == b"\x01\x00"
    assert input_bytes(TEN, np.float32(2).reshape(())) == np.float32(2).tobytes()


def test_types_that_engines_hold_narrower() -> None:
    ids = np.array([1, -2, 2**31 - 1])
    assert input_bytes(TEN, ids) == ids.astype("<i8").tobytes()
    assert input_bytes(Version(8, 6, 2), ids) == ids.astype("<i4").tobytes()
    assert input_bytes(TEN, np.array([0.5])) == np.array([0.5], np.float32).tobytes()
    for value in (2**31, -(2**31) - 1):
        with pytest.raises(ModelError, match=str(value)) as caught:
            input_bytes(Version(8, 6, 2), np.array([0, value]))
        assert caught.value.code == "input-beyond-int32"
