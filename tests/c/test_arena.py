"""Static buffers: what lives at the same time has a place of its own, and nothing else is needed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetool.errors import ModelError
from edgetool_c.arena import Buffer, overlay, with_static_buffers
from edgetool_c.overwriting import pointwise

SOURCE = """#include <stdint.h>

extern const float weight1_w[2];

const EMX_UNUSED float weight1_w[2] = {
    0x1p0f, 0x1p1f
};

_Bool run_load(const char *path) {
    (void)path;
    return 1;
}

void run(const float input_x[restrict 1][2], float output_y[restrict 1][2]) {
    float tmp0_a[1][2];
    int8_t tmp1_b[3];
    float tmp2_c[1][2];
    node0(input_x, tmp0_a);
    node1(tmp0_a, weight1_w, tmp1_b);
    node2(tmp1_b, tmp2_c);
    node3(tmp2_c, output_y);
}
"""


@st.composite
def buffers(draw: st.DrawFn) -> list[Buffer]:
    found = []
    for index in range(draw(st.integers(0, 12))):
        first = draw(st.integers(0, 8))
        last = draw(st.integers(first, 9))
        found.append(Buffer(f"b{index}", "int8_t", (draw(st.integers(1, 200)),), first, last))
    return found


@given(buffers())
def test_nothing_overlaps_while_both_live(rows: list[Buffer]) -> None:
    places = overlay(rows)
    for one in rows:
        assert places[one.name] % 8 == 0
        for other in rows:
            if one is not other and one.first <= other.last and other.first <= one.last:
                start, end = places[one.name], places[one.name] + one.size
                assert end <= places[other.name] or places[other.name] + other.size <= start
    top = max((places[row.name] + row.size for row in rows), default=0)
    busiest = max((sum(r.size for r in rows if r.first <= step <= r.last) for step in range(10)), default=0)
    assert busiest <= top <= sum(row.size for row in rows)


def test_a_tensor_takes_the_place_of_one_that_is_no_longer_needed() -> None:
    made = with_static_buffers(SOURCE, "run")
    assert (made.arena, made.unshared) == (16, 24)
    assert "static _Alignas(8) unsigned char arena[16];" in made.text
    assert "float (*const tmp0_a)[2] = (float (*)[2])(void *)(arena + 0);" in made.text
    assert "int8_t *const tmp1_b = (int8_t *)(void *)(arena + 8);" in made.text
    assert "float (*const tmp2_c)[2] = (float (*)[2])(void *)(arena + 0);" in made.text


def test_weights_are_private_to_the_file() -> None:
    text = with_static_buffers(SOURCE, "run").text
    assert "extern" not in text
    assert "static const EMX_UNUSED float weight1_w[2]" in text


def test_no_loader_of_files_remains() -> None:
    assert "run_load" not in with_static_buffers(SOURCE, "run").text


@pytest.mark.parametrize("line", ["    for (idx_t i = 0; i < 3; ++i) {", "    float tmp9[n];", "    half tmp9_x[2];"])
def test_a_form_that_is_not_known_is_refused(line: str) -> None:
    with pytest.raises(ModelError) as caught:
        with_static_buffers(SOURCE.replace("    node0", f"{line}\n    node0"), "run")
    assert caught.value.code == "generated-code-unknown"


IN_PLACE = """#include <stdint.h>

EMX_NODE_FN void widen(const int8_t input0[2], float output[2]) {
    for (idx_t i0 = 0; i0 < 2; ++i0) {
        output[i0] = (float)input0[i0];
    }
}

EMX_NODE_FN void add(const float input0[2], const float input1[1], float output[2]) {
    for (idx_t i0 = 0; i0 < 2; ++i0) {
        output[i0] = input0[i0] + input1[0];
    }
}

EMX_NODE_FN void scale(const float input0[1][2], const float input1[2], float output[1][2]) {
    for (idx_t i0 = 0; i0 < 1; ++i0) {
        for (idx_t i1 = 0; i1 < 2; ++i1) {
            output[i0][i1] = mul(input0[0][i1], input1[i1]);
        }
    }
}

EMX_NODE_FN void turn(const float input0[2], float output[2]) {
    for (idx_t i0 = 0; i0 < 2; ++i0) {
        output[i0] = input0[1 - i0];
    }
}

EMX_NODE_FN void apart(const float input0[restrict 2], float output[restrict 2]) {
    for (idx_t i0 = 0; i0 < 2; ++i0) {
        output[i0] = input0[i0];
    }
}

EMX_NODE_FN void twice(const float input0[2], float output[2]) {
    for (idx_t i0 = 0; i0 < 2; ++i0) {
        output[i0] = 0;
        output[i0] += input0[i0];
    }
}

void run(const int8_t input_x[2], float output_y[2]) {
CALLS
}
"""


def test_only_what_goes_element_by_element_may_overwrite() -> None:
    assert pointwise(IN_PLACE) == {name: frozenset({0}) for name in ("widen", "add", "scale")}


def offsets(*lines: str) -> dict[str, int]:
    body = "\n".join(f"    {line}" for line in lines)
    text = with_static_buffers(IN_PLACE.replace("CALLS", body), "run").text
    return {name: int(place) for name, place in re.findall(r"const (\w+) = .*arena \+ (\d+)\);", text)}


def test_a_result_takes_the_place_of_what_it_was_made_from() -> None:
    lines = ("float a[2];", "float b[2];", "f(input_x, a);", "add(a, weight, b);", "f(b, output_y);")
    assert offsets(*lines) == {"a": 0, "b": 0}


@pytest.mark.parametrize(
    "lines",
    [
        ("float a[2];", "float b[2];", "f(input_x, a);", "add(a, weight, b);", "g(a, b, output_y);"),
        ("float a[2];", "float b[2];", "f(input_x, a);", "add(a, a, b);", "f(b, output_y);"),
        ("float a[2];", "float b[2];", "f(input_x, a);", "turn(a, b);", "f(b, output_y);"),
        ("int8_t a[2];", "float b[2];", "f(input_x, a);", "widen(a, b);", "f(b, output_y);"),
    ],
    ids=["still read later", "read in two ways", "not element by element", "of another size"],
)
def test_a_place_is_kept_while_it_is_needed(lines: tuple[str, ...]) -> None:
    assert len(set(offsets(*lines).values())) == 2
