"""Delta debugging finds what is needed, keeps what it found, and asks few questions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetool.reduce.failure import Failure
from edgetool.reduce.search import MODES, Mode, Nodes, Search


class Counted:
    """Fails when all the needed nodes are there."""

    def __init__(self, needed: Nodes) -> None:
        self.needed = needed
        self.calls = 0

    def __call__(self, nodes: Nodes) -> bool:
        self.calls += 1
        return self.needed <= nodes


@pytest.mark.parametrize("mode", MODES)
@given(st.integers(1, 40), st.data())
def test_exactly_the_needed_nodes_are_left(mode: Mode, count: int, data: st.DataObject) -> None:
    needed = data.draw(st.frozensets(st.integers(0, count - 1), min_size=1, max_size=4))
    search = Search(range(count), Counted(needed))
    search.run(mode)
    assert search.best == needed


def test_bisecting_a_thousand_nodes_takes_few_questions() -> None:
    one, two = Counted(frozenset({700})), Counted(frozenset({100, 900}))
    Search(range(1000), one).run("bisect")
    Search(range(1000), two).run("bisect")
    assert one.calls < 30
    assert two.calls < 45


def test_what_the_failure_blames_is_tried_first() -> None:
    asked = Counted(frozenset({7}))
    search = Search(range(1000), asked)
    search.run("bisect", suspects=frozenset({3, 7}))
    assert search.best == {7}
    assert asked.calls == 3


@pytest.mark.parametrize("mode", MODES)
def test_a_failure_that_comes_and_goes_never_gives_a_set_that_does_not_fail(mode: Mode) -> None:
    """Some sets do not fail although they hold the needed node."""

    def fails(nodes: Nodes) -> bool:
        return 5 in nodes and len(nodes) % 5 != 2

    search = Search(range(64), fails)
    search.run(mode)
    assert fails(search.best)
    assert len(search.best) < 64


def test_the_best_so_far_outlives_an_exception() -> None:
    asked = Counted(frozenset({0}))

    def fails(nodes: Nodes) -> bool:
        if asked.calls == 2:
            raise TimeoutError
        return asked(nodes)

    search = Search(range(64), fails)
    with pytest.raises(TimeoutError):
        search.run("bisect")
    assert len(search.best) == 16


def test_the_same_failure_is_recognised_by_other_names_and_shapes() -> None:
    first = Failure("build", "no-kernel", "no kernel for node 'conv12' with shape [1, 64] in /tmp/a/b.onnx")
    second = Failure("build", "no-kernel", "no kernel for node 'conv3' with shape [1, 8, 8] in /tmp/c.onnx")
    other = Failure("build", "no-kernel", "no memory for node 'conv12'")
    assert second.is_like(first, any_reason=False)
    assert not other.is_like(first, any_reason=False)
    assert other.is_like(first, any_reason=True)
    assert not Failure("run", "no-kernel", first.reason).is_like(first, any_reason=True)
    assert not Failure("build", "crashed", first.reason).is_like(first, any_reason=True)
