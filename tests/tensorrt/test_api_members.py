"""Every attribute of TensorRT's interface that the plugin uses exists in each release that the code is meant for."""

from __future__ import annotations

import pytest

from tests.tensorrt.api_members import asked, members
from tests.tensorrt.api_uses import RELEASES, RTX, uses


def test_what_is_used_exists_where_it_is_meant_for() -> None:
    table = members()
    found = list(uses())
    assert len(found) > 100, "the search for uses finds next to nothing: has the code been renamed?"
    for use in found:
        assert use.releases, f"{use.where}: say in api_uses.py which releases it is meant for"
        assert use.member in table, f"{use.where} uses {use.member}: run tests/tensorrt/api_members.py"
        missing = set(use.releases) - set(table[use.member])
        assert not missing, f"{use.where}: {use.member} does not exist in {sorted(missing)}"


@pytest.mark.parametrize(
    ("member", "releases"),
    [
        ("NetworkDefinitionCreationFlag.EXPLICIT_BATCH", {"8.6", "10.3", "10.16"}),
        ("NetworkDefinitionCreationFlag.STRONGLY_TYPED", {"10.3", "10.16", "11.4", RTX}),
        ("BuilderFlag.FP16", {"8.6", "10.3", "10.16"}),
        ("IProgressMonitor", {"10.3", "10.16", "11.4", RTX}),
        ("Builder.build_serialized_network", set(RELEASES)),
    ],
)
def test_the_table_tells_the_majors_apart(member: str, releases: set[str]) -> None:
    assert set(members()[member]) == releases


def test_the_installed_tensorrt_rtx_has_what_the_table_says() -> None:
    pytest.importorskip("tensorrt_rtx")
    table = members()
    assert asked("tensorrt_rtx", table) == {name for name, releases in table.items() if RTX in releases}
