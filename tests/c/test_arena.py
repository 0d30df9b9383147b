"""Static buffers: what lives at the same time has a place of its own, and nothing else is needed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetool.errors import ModelError
from edgetool_c.arena import Buffer, overlay, with_static_buffers

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
