"""The .ort format: the same bytes each time, the same numbers, and a list of operators for minimal builds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgetool.artifact import Engine
from edgetool.backends import Site
from edgetool.context import BuildContext
from edgetool.testing import ALL_MODELS, MakeModel, feeds_for, imported_by, tiny_cnn, tiny_int8_cnn
from edgetool_onnxruntime.backend import OnnxRuntime
from edgetool_onnxruntime.options import OnnxRuntimeOptions
from edgetool_onnxruntime.ort_canonical import canonicalize
from edgetool_onnxruntime.session import SessionSettings, open_session

CONTEXT = BuildContext(threads=1)
HERE = Site()


def _build(make_model: MakeModel, folder: Path, *, site: Site = HERE) -> Engine:
    (folder / "engine").mkdir()
    backend = OnnxRuntime(OnnxRuntimeOptions(format="ort"), site)
    return backend.build(make_model(folder), folder / "engine", CONTEXT)


def _as_onnxruntime_writes_it(model: Path, destination: Path) -> Path:
    entries = {
        "session.save_model_format": "ORT",
        "optimization.disable_specified_optimizers": "NchwcTransformer",  # names its nodes anew each time
    }
    open_session(model, SessionSettings(threads=1, entries=entries, optimized_path=destination))
    return destination


@pytest.mark.parametrize("make_model", ALL_MODELS)
def test_twenty_conversions_give_one_file(make_model: MakeModel, tmp_path: Path) -> None:
    """ONNX Runtime's own writer orders one table by a hash that changes each time: two or three runs may agree."""
    model = make_model(tmp_path)
    contents = set()
    for index in range(20):
        path = _as_onnxruntime_writes_it(model.path, tmp_path / f"{index}.ort")
        canonicalize(path)
        contents.add(path.read_bytes())
    assert len(contents) == 1


@pytest.mark.parametrize("make_model", ALL_MODELS)
def test_canonical_form_says_the_same(make_model: MakeModel, tmp_path: Path) -> None:
    from edgetool_onnxruntime.ort_canonical import _operators

    model = make_model(tmp_path)
    original = _as_onnxruntime_writes_it(model.path, tmp_path / "original.ort")
    rewritten = tmp_path / "rewritten.ort"
    rewritten.write_bytes(original.read_bytes())
    canonicalize(rewritten)
    assert rewritten.read_bytes() != original.read_bytes()
    assert _operators(rewritten.read_bytes()) == _operators(original.read_bytes())  # type: ignore[arg-type] # any buffer
    feeds = feeds_for(model.signature, "max")
    before, after = (open_session(path, SessionSettings(threads=1)).run(None, feeds) for path in (original, rewritten))
    for expected, actual in zip(before, after, strict=True):
        assert np.array_equal(expected, actual)


def test_canonical_form_is_left_alone(tmp_path: Path) -> None:
    path = _build(tiny_cnn, tmp_path).path
    before = path.read_bytes()
    canonicalize(path)
    assert path.read_bytes() == before


def test_operators_for_a_minimal_build(tmp_path: Path) -> None:
    engine = _build(tiny_cnn, tmp_path)
    assert sorted(path.name for path in engine.directory.iterdir()) == [
        "model.ort",
        "required_operators_and_types.config",
    ]
    text = (engine.directory / "required_operators_and_types.config").read_text()
    assert str(tmp_path) not in text, "the same bytes wherever it is built"
    assert text.splitlines() == [
        "# Operators and types of model.ort",
        "ai.onnx;1;GlobalAveragePool",
        'ai.onnx;13;Flatten,Gemm{"inputs": {"0": ["float"]}}',
        "com.microsoft;1;FusedConv",
    ]


def test_weights_are_not_in_the_layout_of_this_processor(tmp_path: Path) -> None:
    engine = _build(tiny_cnn, tmp_path)
    assert b"com.microsoft.nchwc\x00\x00" not in engine.path.read_bytes()
    assert "nchwc" not in (engine.directory / "required_operators_and_types.config").read_text()


@pytest.mark.parametrize(("arch", "lowered"), [("x86_64", True), ("aarch64", False)])
def test_int8_is_fused_for_the_targets_processor(arch: str, lowered: bool, tmp_path: Path) -> None:
    """Signed activations are fused for ARM although this machine would not fuse them for itself."""
    engine = _build(tiny_int8_cnn, tmp_path, site=Site(facts={"arch": arch}))
    assert ("int8-to-uint8" in [lowering.name for lowering in engine.lowerings]) is lowered
    assert "QLinearConv" in (engine.directory / "required_operators_and_types.config").read_text()


def test_writing_it_does_not_import_torch() -> None:
    """ONNX Runtime's own tools import it wherever it is installed."""
    code = "from edgetool_onnxruntime.runtime import load_format_tools as load; load(); load()"
    assert "torch" not in imported_by(code)
