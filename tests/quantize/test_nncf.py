"""nncf-quantize: NNCF behind the pass contract, silent."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import onnx
import pytest

from edgetool.artifact import Model
from edgetool.errors import ModelError
from edgetool_nncf.quantize import NncfQuantize
from tests.quantize.conftest import ApplyPass, cosine, pictures, run, sentences

pytestmark = pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="NNCF is not installed")


@pytest.mark.slow
def test_transformer(apply_pass: ApplyPass, transformer_block: Model, capfd: pytest.CaptureFixture[str]) -> None:
    applied = apply_pass(NncfQuantize, transformer_block, sentences(8), model_type="transformer")
    out, _ = capfd.readouterr()
    assert out == "", "results go to stdout, progress bars do not"
    assert applied.result.facts["quantizers"] > 0
    held_out = sentences(8, seed=9)
    assert cosine(run(transformer_block.path, held_out), run(applied.result.model.path, held_out)) > 0.98


@pytest.mark.slow
def test_seven_bits_turn_the_overflow_fix_on(apply_pass: ApplyPass, residual_cnn: Model) -> None:
    proto = apply_pass(NncfQuantize, residual_cnn, pictures(4), weight_bits=7).proto
    weights = [t for t in proto.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4]
    weights = [t for t in weights if t.dims[1] > 1]  # NNCF's fix leaves depthwise convolutions out
    assert len(weights) == 3
    assert max(abs(onnx.numpy_helper.to_array(t).astype(int)).max() for t in weights) <= 64


@pytest.mark.slow
def test_exclude(apply_pass: ApplyPass, residual_cnn: Model) -> None:
    applied = apply_pass(NncfQuantize, residual_cnn, pictures(4), exclude=("he*",))
    assert applied.result.facts["excluded"] == ["head"]
    head = next(node for node in applied.proto.graph.node if node.name == "head")
    assert head.input[0] == "flat"


@pytest.mark.slow
def test_refusal_is_one_line(apply_pass: ApplyPass, residual_cnn: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    import nncf

    def give_up(*_: object, **__: object) -> None:
        raise nncf.UnsupportedModelError("cannot do this\nand much more")

    monkeypatch.setattr(nncf, "quantize", give_up)
    with pytest.raises(ModelError) as caught:
        apply_pass(NncfQuantize, residual_cnn, pictures(2))
    assert caught.value.code == "nncf-refused"
    assert caught.value.message == "NNCF cannot quantize the model: cannot do this"


def test_nothing_is_reported_to_its_vendor() -> None:
    """Nor to that of OpenVINO, which it imports."""
    code = (
        "import sys; from edgetool_nncf.toolkit import load_nncf; load_nncf();"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry')], 'openvino' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[] True\n", done.stderr
