"""`edgetool diff`, as people, CI and merge requests read it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.provenance.built import edgetool, edited, forge, remeasured


def fewer_sizes(manifest: Any) -> None:
    manifest["signature"]["dims"]["batch"]["max"] = 2


@pytest.fixture
def narrowed(new: Path) -> Path:
    """Takes fewer sizes than the old one."""
    return forge(new, {"manifest.json": edited(fewer_sizes)})


def test_text_begins_with_what_matters(old: Path, narrowed: Path) -> None:
    done = edgetool(old.parent, "diff", old, narrowed)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("old  tiny 1.0.0 for ort, int8, content ")
    assert lines[1].startswith("new  tiny 1.0.0 for ort, int8, content ")
    assert lines[2] == "1 breaking"
    assert "  BREAKS  size of batch  1..4, tuned for 1 → 1..2, tuned for 1  sizes that worked are refused" in lines
    assert lines[-1] == "unchanged: budgets, source and data, passes and options, toolchain, target, signing"


def test_equal_bundles_take_three_lines(old: Path, new: Path) -> None:
    done = edgetool(old.parent, "diff", old, new, "--fail-on", "any")
    assert done.returncode == 0
    assert done.stdout.splitlines()[2:] == ["the bundles are equal: every byte but the measurements"]


def test_json_is_one_event_or_a_document(old: Path, narrowed: Path) -> None:
    event = json.loads(edgetool(old.parent, "diff", old, narrowed, "--json").stdout)
    document = json.loads(edgetool(old.parent, "diff", old, narrowed, "--output-format", "json").stdout)
    assert event == {"event": "result", **document}
    assert document["schema_version"] == 1
    assert document["counts"]["breaking"] == 1
    assert document["old"]["path"] == str(old)
    assert [section["title"] for section in document["sections"]] == [
        "accuracy", "speed", "size", "placement", "signature", "budgets", "source and data", "passes and options",
        "toolchain", "target", "signing",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "code"), [("signature", 4), ("regression", 4), ("any", 4), (None, 0)], ids=lambda value: str(value)
)
def test_only_what_is_asked_for_fails(old: Path, narrowed: Path, wanted: str | None, code: int) -> None:
    done = edgetool(old.parent, "diff", old, narrowed, *(["--fail-on", wanted] if wanted else []))
    assert done.returncode == code
    assert ("failed by --fail-on: signature: size of batch" in done.stderr) == (code == 4)
    assert "BREAKS" in done.stdout


class Tags(HTMLParser):
    """Collects the tags that a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)


def tables(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        if line.startswith("|"):
            yield line.replace("\\|", "").strip("|").split("|")


def test_markdown_is_a_table_that_names_cannot_break(old: Path, new: Path) -> None:
    hostile = "x | **bold** <script>alert(1)</script> @everyone [a](b)\n# heading"

    def rename(manifest: Any) -> None:
        manifest["signature"]["inputs"][0]["name"] = hostile
        manifest["passes"][1]["options"]["calibrator"] = hostile

    forge(new, {"manifest.json": edited(rename)})
    done = edgetool(old.parent, "diff", old, new, "--output-format", "markdown")
    assert done.returncode == 0
    assert done.stdout.startswith("### tiny for ort: 2 breaking")
    assert all(len(cells) == 5 for cells in tables(done.stdout))
    parser = Tags()
    parser.feed(done.stdout)
    assert set(parser.seen) == {"details", "summary"}
    assert "@everyone" not in done.stdout
    assert not any(line.startswith("# ") for line in done.stdout.splitlines())


def test_names_cannot_steer_the_terminal(old: Path, new: Path) -> None:
    def rename(manifest: Any) -> None:
        manifest["name"] = "x\x1b[2J"
        manifest["signature"]["inputs"][0]["name"] = "\x1b]0;title\x07\nall is well"

    forge(new, {"manifest.json": edited(rename)})
    for form in ("text", "markdown"):
        done = edgetool(old.parent, "diff", old, new, "--output-format", form)
        assert "\x1b" not in done.stdout
        assert "\nall is well" not in done.stdout


def test_the_signing_key_is_shown(old: Path, new: Path) -> None:
    names = []
    for number, bundle in enumerate((old, new)):
        key = bundle.parent / f"{number}.pem"
        key.write_bytes(
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        key.chmod(0o600)
        done = edgetool(old.parent, "sign", bundle, "--key", key, "--json")
        names.append(json.loads(done.stdout.splitlines()[-1])["key"][:16])
    text = edgetool(old.parent, "diff", old, forge(new, {"manifest.json": edited(fewer_sizes)})).stdout
    assert f"key {names[0]} → key {names[1]}  devices must trust the new key" in text
    new.with_name(f"{new.name}.sig").unlink()
    document = json.loads(edgetool(old.parent, "diff", old, new, "--output-format", "json").stdout)
    (row,) = document["sections"][-1]["rows"]
    assert (row["change"], row["note"]) == ("changed", "the new bundle is not signed")


@pytest.mark.parametrize("which", ["old", "new"])
def test_a_damaged_bundle_is_not_compared(old: Path, new: Path, which: str) -> None:
    bundle = old if which == "old" else new
    (bundle / "model" / "model.onnx").write_bytes(b"other")
    done = edgetool(old.parent, "diff", old, new)
    assert (done.returncode, done.stdout) == (7, "")
    assert "error[bundle-damaged]" in done.stderr


def test_a_bundle_that_is_not_there_is_named(old: Path) -> None:
    done = edgetool(old.parent, "diff", old, "none.edgebundle")
    assert done.returncode == 2
    assert "none.edgebundle" in done.stderr


@pytest.mark.parametrize(
    "change",
    [
        lambda measured: [1, 2],
        lambda measured: measured.update(latency={"engine": {}}),
        lambda measured: measured["latency"]["engine"].update(p50_s="soon"),
        lambda measured: measured["latency"].update(speedup=0),
        lambda measured: measured.update(verdicts=[1]),
        lambda measured: measured.update(host=5, peak_memory_bytes="much"),
    ],
)
def test_measurements_that_hold_nonsense_end_with_a_reason(
    old: Path, new: Path, change: Callable[[Any], object]
) -> None:
    remeasured(new, change)
    done = edgetool(old.parent, "diff", old, new)
    assert done.returncode == 7
    assert "Traceback" not in done.stderr


def test_a_wrong_word_is_refused(old: Path, new: Path) -> None:
    for option in ("--output-format", "--fail-on"):
        done = edgetool(old.parent, "diff", old, new, option, "nonsense")
        assert done.returncode == 2
        assert "nonsense" in done.stderr
