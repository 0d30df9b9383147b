"""The cases travel to child processes as files: what is read there is what was made, of every kind that there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetool.conformance.cases import Case, case_of, load, names, save

OF_EACH_KIND = (
    "test_relu",
    "test_cast_FLOAT_to_BFLOAT16",
    "test_cast_FLOAT_to_FLOAT8E4M3FN",
    "test_cast_FLOAT16_to_INT4",
    "test_string_concat",
    "test_reduce_max_bool_inputs",
    "test_nonzero_example",
    "test_sequence_insert_at_back",
    "test_optional_has_element_empty_optional_input",
)


def same(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    if one.dtype.kind in "OSU":
        return one.astype(str).tolist() == other.astype(str).tolist()
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


@pytest.mark.slow  # making all of them takes seconds
def test_a_saved_case_is_the_case(tmp_path: Path) -> None:
    dtypes = set()
    for name in OF_EACH_KIND:
        folder = tmp_path / name
        folder.mkdir()
        made = case_of(name)
        save(made, folder)
        read = load(folder)
        assert rest(read) == rest(made)
        assert read.model == made.model
        for one, other in ((made.inputs, read.inputs), (made.outputs, read.outputs)):
            assert (one is None) == (other is None)
            values = [list(side.values() if isinstance(side, dict) else side or ()) for side in (one, other)]
            assert all(map(same, *values))
            dtypes |= {value.dtype.name for value in values[1]}
    assert {"float32", "bfloat16", "float8_e4m3fn", "int4", "bool", "object"} <= dtypes
    assert load(tmp_path / "test_sequence_insert_at_back").inputs is None
    assert len(names()) > 1800


def rest(case: Case) -> tuple[object, ...]:
    inputs = None if case.inputs is None else list(case.inputs)
    outputs = None if case.outputs is None else len(case.outputs)
    return case.name, case.operator, case.rtol, case.atol, inputs, outputs
