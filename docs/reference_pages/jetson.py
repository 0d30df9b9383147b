"""docs/reference/jetson.md: chips, JetPack releases, boards and known issues, from the data that the builds use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from edgetool.config import boards
from edgetool_tensorrt.knowledge import JetPack, KnownIssue, all_issues, chips, jetpacks, opsets
from reference_pages import NOTICE
from reference_pages.tables import cell


def page() -> str:
    """Tables of what is known, each introduced by a sentence on how a build uses it."""
    lines = ["# Jetson and TensorRT: what is known", "", NOTICE, ""]
    lines += [
        "Builds, `edgetool check` and `edgetool doctor --target` go by these tables. Each value stands with its",
        "source in `edgetool_tensorrt/knowledge/*.toml` and in the catalogue `catalog/nvidia.toml`;",
        "[Jetson and TensorRT](../explanation/jetson-and-tensorrt.md) explains what follows from them.",
        "",
    ]
    for section in (_chips, _jetpacks, _opsets, _boards, _issues):
        lines += [*section(), ""]
    return "\n".join(lines)


def _chips() -> Iterator[str]:
    yield from ["## Chips", "", "An engine fits the compute capability (`sm`) that it was built on.", ""]
    rows = ((f"`{chip.name}`", chip.modules, _capability(chip.sm, chip.sm_aliases), str(chip.sm)) for chip in chips())
    yield from _table(("chip", "modules", "compute capability", "`sm`"), rows)


def _capability(sm: int, aliases: Sequence[int]) -> str:
    also = "".join(f" ({alias / 10:.1f} in CUDA 12.8)" for alias in aliases)
    return f"{sm / 10:.1f}{also}"


def _jetpacks() -> Iterator[str]:
    yield from ["## JetPack", "", "What each release brings. `L4T` is what `/etc/nv_tegra_release` names.", ""]
    headers = ("JetPack", "L4T", "modules", "TensorRT", "CUDA", "Python", "newest opset")
    yield from _table(headers, (_series(list(rows)) for _, rows in groupby(jetpacks(), key=_stack)))


def _stack(release: JetPack) -> tuple[Any, ...]:
    return release.chips, release.tensorrt, release.cuda


def _series(releases: Sequence[JetPack]) -> tuple[str, ...]:
    first = releases[0]
    modules = {chip.name: chip.modules for chip in chips()}
    return (
        _span([release.name for release in releases]),
        _span([l4t for release in releases for l4t in release.l4t]),
        ", ".join(modules[name] for name in first.chips),
        str(first.tensorrt),
        first.cuda,
        first.python,
        str(first.max_opset),
    )


def _span(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _opsets() -> Iterator[str]:
    yield from ["## ONNX opset", "", "The newest that a TensorRT release reads. Its parser does not enforce it.", ""]
    yield from _table(("from TensorRT", "opset"), ((str(first), str(opset)) for first, opset in opsets()))


def _boards() -> Iterator[str]:
    yield from ["## Boards of the catalogue", "", '`extends = "@nvidia/..."` in a target takes over all of these.', ""]
    rows = [(name, facts) for name in boards.board_names() if (facts := _facts(name)).get("jetpack")]
    rows.sort(key=lambda row: (row[1]["sm"], row[0]))
    yield from _table(
        ("board", "chip", "RAM", "DLA cores", "JetPack", "TensorRT", "int8"),
        (
            (
                f"`{name}`",
                f"`{facts['soc']}`",
                str(facts["ram"]).replace("GiB", " GB"),
                str(facts["dla_cores"]),
                str(facts["jetpack"]),
                str(facts["tensorrt"]),
                "yes" if facts["int8"] else "no",
            )
            for name, facts in rows
        ),
    )


def _facts(board: str) -> dict[str, Any]:
    """What the catalogue says of a board, with what it extends."""
    tree = boards.find_board(board)
    values: dict[str, Any] = dict(tree.values) if tree else {}
    inherited = _facts(values["extends"]) if "extends" in values else {}
    return {**inherited, **values.get("facts", {})}


def _issues() -> Iterator[str]:
    yield from ["## Known issues", ""]
    yield from [
        "*Refused* ends a build of such a network before anything is copied to the device;",
        "*warned* is shown and recorded.",
        "",
    ]
    for issue in all_issues():
        verdict = "Refused" if issue.severity == "refuse" else "Warned"
        yield from [f"### `{issue.code}`", ""]
        yield from [f"**{_concerns(issue)}.** {_sentence(issue.summary)}", ""]
        yield from [f"{verdict}. {_sentence(issue.fix)} Source: {'; '.join(issue.source)}.", ""]


def _concerns(issue: KnownIssue) -> str:
    modules = [chip.modules for chip in chips() if chip.sm in issue.sm]
    parts = [_versions(issue), "on " + ", ".join(modules) if modules else "on all chips"]
    for asked, yes, no in ((issue.int8, "int8", "without int8"), (issue.dla, "on the DLA", "on the GPU")):
        parts += [] if asked is None else [yes if asked else no]
    return ", ".join(parts)


def _versions(issue: KnownIssue) -> str:
    if issue.since and issue.until:
        return f"TensorRT from {issue.since}, before {issue.until}"
    if issue.since:
        return f"TensorRT from {issue.since}"
    return f"TensorRT before {issue.until}" if issue.until else "All of TensorRT"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headers)} |"
    yield f"|{'---|' * len(headers)}"
    for row in rows:
        yield f"| {' | '.join(map(cell, row))} |"
