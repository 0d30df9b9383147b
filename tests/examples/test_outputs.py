"""What examples write: whole or not at all, and not again without need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from examples.outputs import replacing, up_to_date


def touch(path: Path, *, at: int) -> Path:
    path.write_bytes(b"")
    os.utime(path, (at, at))
    return path


def test_outputs_newer_than_the_code_are_up_to_date(tmp_path: Path) -> None:
    code, output = touch(tmp_path / "prepare.py", at=1), touch(tmp_path / "model", at=2)

    assert up_to_date([output], code=[code])


def test_one_missing_or_older_output_is_enough_to_begin_again(tmp_path: Path) -> None:
    code = touch(tmp_path / "prepare.py", at=2)
    new, old = touch(tmp_path / "new", at=3), touch(tmp_path / "old", at=1)

    assert not up_to_date([new, old], code=[code])
    assert not up_to_date([new, tmp_path / "missing"], code=[code])
    assert not up_to_date([new], code=[code, touch(tmp_path / "net.py", at=4)])


def test_a_file_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "weights.npz"
    with replacing(path) as aside:
        assert aside.suffix == ".npz"
        aside.write_text("new")
        assert not path.exists()

    assert path.read_text() == "new"
    assert [entry.name for entry in path.parent.iterdir()] == ["weights.npz"]


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = touch(tmp_path / "weights.npz", at=1)
    with pytest.raises(KeyboardInterrupt), replacing(path) as aside:
        aside.write_text("half")
        raise KeyboardInterrupt

    assert path.read_bytes() == b""
    assert list(tmp_path.iterdir()) == [path]
