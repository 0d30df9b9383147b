"""An engine that stays open between two tasks: it is the same process, another engine ends it, and nothing is left."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgetool.backends.base import HERE
from edgetool.context import BuildContext
from edgetool.engine.held import HeldEngine
from edgetool.engine.requests import EngineFile
from edgetool.errors import EdgetoolError
from edgetool_onnxruntime.backend import OnnxRuntime
from edgetool_onnxruntime.options import OnnxRuntimeOptions
from tests.compress.quantize_networks import images, mobile_block


@pytest.fixture
def file(tmp_path: Path) -> EngineFile:
    model = mobile_block(tmp_path)
    folder = tmp_path / "engine"
    folder.mkdir()
    engine = OnnxRuntime(OnnxRuntimeOptions(), HERE).build(model, folder, BuildContext(threads=1))
    return EngineFile(
        loader="edgetool_onnxruntime.backend:OnnxRuntime",
        options={},
        backend=engine.backend,
        directory=engine.directory,
        entry=engine.entry,
        precision=engine.precision,
        signature=engine.signature,
        threads=1,
    )


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldEngine]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = HeldEngine()
    yield found
    found.close()


def _children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_the_same_process_compares_and_times(file: EngineFile, held: HeldEngine, tmp_path: Path) -> None:
    before = _children()
    opened = held.open(file, tmp_path / "log", 60)
    result = opened.infer(images(1)[0])
    assert np.isfinite(result["logits"]).all()
    (started,) = _children() - before
    assert held.get(file) is opened
    assert held.get(replace(file, threads=2)) is None, "another number of threads is another engine"
    assert len(opened.time(images(1)[0], 3)) == 3
    assert _children() - before == {started}


def test_another_engine_ends_it_and_nothing_is_left(file: EngineFile, held: HeldEngine, tmp_path: Path) -> None:
    before = _children()
    held.open(file, tmp_path / "log", 60)
    first = _children() - before
    held.open(replace(file, threads=2), tmp_path / "log", 60)
    assert held.get(file) is None
    assert first.isdisjoint(_children())
    held.close()
    assert _children() == before
    assert not list(tmp_path.glob("edgetool-engine-*"))


def test_an_engine_that_does_not_open_is_not_held(file: EngineFile, held: HeldEngine, tmp_path: Path) -> None:
    before = _children()
    file.engine().path.write_bytes(b"damaged")
    with pytest.raises(EdgetoolError):
        held.open(file, tmp_path / "log", 60)
    assert held.get(file) is None
    assert _children() == before
    assert not list(tmp_path.glob("edgetool-engine-*"))
