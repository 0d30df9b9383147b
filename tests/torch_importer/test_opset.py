"""The opset is read back, converted when it is another than asked for, and the conversion proven like all else."""

from __future__ import annotations

import onnx
import pytest

from edgetool.errors import ConfigError

CODE = """
class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x):
        return self.conv(x).relu()

class Mean(Plain):
    def forward(self, x):
        return super().forward(x).mean(dim=(2, 3))
"""
INPUTS = {"x": ("float32", ["batch", 1, 8, 8])}
DIMS = {"batch": (1, 1, 4)}


@pytest.mark.parametrize(("asked", "exported"), [(None, 20), (22, 22), (17, 18), (14, 18)])
def test_the_file_has_the_opset_that_was_asked_for(bench, asked, exported) -> None:
    bench.write(CODE)
    result = bench.convert("nets:Plain", bench.request(INPUTS, DIMS, opset=asked))

    got = onnx.load(result.model.path).opset_import
    assert [(row.domain, row.version) for row in got] == [("", asked or 20)]
    assert result.facts["route"] == "torch.export"
    assert result.facts["opset"] == {"asked": asked, "exported": exported, "got": asked or 20}
    assert any("converted to" in note for note in bench.notes) is (asked is not None and asked != exported)


def test_where_conversion_fails_the_exporter_that_writes_old_opsets_helps(bench) -> None:
    """The converter goes back from the ReduceMean of opset 18 wrongly, which the proof notices."""
    bench.write(CODE)
    result = bench.convert("nets:Mean", bench.request(INPUTS, DIMS, opset=17))

    assert onnx.load(result.model.path).opset_import[0].version == 17
    assert result.facts["route"] == "torchscript"
    assert "ReduceMean" in result.facts["rejected"][0]["reason"]


def test_an_opset_that_does_not_exist(bench) -> None:
    bench.write(CODE)
    with pytest.raises(ConfigError) as caught:
        bench.convert("nets:Plain", bench.request(INPUTS, DIMS, opset=99))

    assert caught.value.code == "unknown-opset"
