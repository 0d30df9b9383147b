"""What is known of boards and releases: the tables hold together, and the catalogue says the same."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgetool.config import boards
from edgetool.config.load import load
from edgetool.config.positions import key_lines
from edgetool_tensorrt import knowledge
from edgetool_tensorrt.knowledge.tables import FOLDER
from edgetool_tensorrt.version import Version

BOARDS = [name for name in boards.board_names() if name.startswith("@nvidia/")]
COMMENTED = ["chips", "jetpacks", "opsets"]


def facts_of(board: str, folder: Path) -> dict[str, Any]:
    path = folder / "targets.toml"
    path.write_text(f'schema = 1\n[targets.it]\nextends = "{board}"\n')
    return dict(load(path).target("it").facts)


@pytest.mark.parametrize("board", BOARDS)
def test_the_catalogue_agrees(board: str, tmp_path: Path) -> None:
    facts = facts_of(board, tmp_path)
    if "jetpack" not in facts:
        assert "soc" not in facts, "a Jetson names its JetPack"
        return
    release = knowledge.jetpack(facts["jetpack"])
    assert release is not None
    assert facts["soc"] in release.chips
    assert facts["sm"] == knowledge.sm_of(facts["soc"])
    assert (facts["tensorrt"], facts["cuda"]) == (str(release.tensorrt), release.cuda)
    assert facts["max_opset"] == release.max_opset


@pytest.mark.parametrize("board", BOARDS)
def test_no_board_of_the_catalogue_is_refused_for_what_it_is(board: str, tmp_path: Path) -> None:
    """A float16 network on the GPU must pass everywhere; what is refused would be wrong facts."""
    facts = facts_of(board, tmp_path)
    version = Version.parse(facts["tensorrt"]) if "tensorrt" in facts else None
    found = knowledge.known_issues(version, facts["sm"], int8=False, dla=False)
    assert [issue.code for issue in found if issue.severity == "refuse"] == []


@pytest.mark.parametrize("board", BOARDS)
def test_a_board_without_int8_is_one_that_refuses_it(board: str, tmp_path: Path) -> None:
    facts = facts_of(board, tmp_path)
    refused = {issue.code for issue in knowledge.known_issues(None, facts["sm"], int8=True)}
    assert ("no-int8-on-this-chip" in refused) is not facts["int8"]


@pytest.mark.parametrize("name", COMMENTED)
def test_every_value_has_a_source(name: str) -> None:
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    lines = text.splitlines()
    legend = set(re.findall(r"^#   (\[[A-Z]+\])  ", text, re.MULTILINE))
    used: set[str] = set()
    for key, number in key_lines(text).items():
        line = lines[number - 1]
        if line.startswith("[") or isinstance(key[-1], int):
            continue
        if name != "opsets":
            assert " # source: [" in line, f"{name}.toml:{number} {line}"
        used |= set(re.findall(r"\[[A-Z]+\]", line.rpartition("#")[2]))
    assert used == legend


def test_releases_are_in_order_and_named_once() -> None:
    names = [release.name for release in knowledge.jetpacks()]
    assert len(names) == len(set(names))
    assert names == sorted(names, key=lambda name: [int(part) for part in name.split(".")])
    l4t = [one for release in knowledge.jetpacks() for one in release.l4t]
    assert len(l4t) == len(set(l4t))


def test_every_release_runs_on_known_chips_and_reads_a_known_opset() -> None:
    chips = {chip.name for chip in knowledge.chips()}
    for release in knowledge.jetpacks():
        assert set(release.chips) <= chips
        assert release.sms
        assert release.max_opset


@pytest.mark.parametrize(
    ("l4t", "name"),
    [("36.4.3", "6.2"), ("36.3", "6.0"), ("R36.3.0", "6.0"), ("35.6.2", "5.1.5"), ("32.7.1", "4.6.1"),
     ("39.2.0", "7.2"), ("36.9.9", None), ("", None), ("6.2", None)],
)  # fmt: skip
def test_jetpack_of(l4t: str, name: str | None) -> None:
    assert knowledge.jetpack_of(l4t) == name


@pytest.mark.parametrize(
    ("soc", "sm"),
    [
        ("tegra210", 53),
        ("tegra186", 62),
        ("nvidia,tegra194", 72),
        ("tegra23x", 87),
        ("Tegra264", 110),
        ("rk3588", None),
    ],
)
def test_sm_of(soc: str, sm: int | None) -> None:
    assert knowledge.sm_of(soc) == sm


@pytest.mark.parametrize(
    ("version", "opset"),
    [("8.2.5", 13), ("8.5.2", 17), ("8.6.2", 17), ("10.3.0", 20), ("10.7.0.23", 20), ("10.9.0", 22), ("10.16.2", 24),
     ("11.4.1", 25), ("6.0.1", None)],
)  # fmt: skip
def test_max_opset(version: str, opset: int | None) -> None:
    assert knowledge.max_opset(Version.parse(version)) == opset


def codes(version: str, sm: int, **network: bool) -> Iterator[tuple[str, str]]:
    return ((issue.severity, issue.code) for issue in knowledge.known_issues(Version.parse(version), sm, **network))


def test_jetpack_6_with_its_own_tensorrt_refuses_int8_on_the_gpu() -> None:
    assert ("refuse", "int8-broken-in-10-3") in codes("10.3.0.30", 87, int8=True, dla=False)
    assert ("refuse", "int8-broken-in-10-3") not in codes("10.3.0.30", 87, int8=False)
    assert ("refuse", "int8-broken-in-10-3") not in codes("10.3.0.30", 87, int8=True, dla=True)
    assert "refuse" not in dict(codes("10.7.0.23", 87, int8=True, dla=False))
    assert "refuse" not in dict(codes("10.3.0.30", 86, int8=True, dla=False))


def test_the_fix_says_what_to_do() -> None:
    (issue,) = (one for one in knowledge.all_issues() if one.code == "int8-broken-in-10-3")
    assert "10.7" in issue.fix
    assert "float16" in issue.fix
    assert all(reference in str(issue) for reference in issue.source)


def test_thor_under_its_older_number_is_the_same_chip() -> None:
    assert list(codes("11.0.0", 101)) == list(codes("11.0.0", 110)) != []


def test_unknown_versions_and_chips_are_told_only_what_holds_for_all() -> None:
    assert knowledge.known_issues(None, None) == ()
    assert {issue.code for issue in knowledge.known_issues(None, 53)} == {"no-int8-on-this-chip", "no-dla-on-this-chip"}


def test_issues_are_complete_and_their_ranges_are_not_empty() -> None:
    issues = knowledge.all_issues()
    assert len({issue.code for issue in issues}) == len(issues)
    capabilities = {chip.sm for chip in knowledge.chips()}
    for issue in issues:
        assert issue.source
        assert issue.sm <= capabilities
        assert not issue.summary.endswith(".")
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", issue.code)
        if issue.since and issue.until:
            assert issue.since < issue.until


def test_it_is_light_to_import() -> None:
    script = (
        "import sys; from edgetool_tensorrt import knowledge; knowledge.jetpacks(); knowledge.all_issues();"
        "print([name for name in ('numpy', 'onnx', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
