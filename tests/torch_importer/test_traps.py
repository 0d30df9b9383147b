"""Networks that exporters get wrong, most of them silently: what comes out is right at every size, or nothing does."""

from __future__ import annotations

import numpy as np
import pytest

from edgetool.errors import ModelError
from tests.torch_importer.conftest import ROWS, Infer

SEQUENCE = ("float32", ["batch", "time", 12])
LENGTHS = {"batch": (1, 1, 8), "time": (7, 16, 26)}


def test_japanese_vowels_gru_keeps_its_dynamic_length(bench, infer: Infer) -> None:
    bench.write("""
class SpeakerGru(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(12, 16, batch_first=True, bidirectional=True)
        self.classifier = nn.Linear(32, 9)

    def forward(self, x, length):
        states, _ = self.gru(x)
        inside = (torch.arange(x.shape[1]) < length[:, None]).to(x.dtype)[:, :, None]
        return self.classifier((states * inside).sum(dim=1) / inside.sum(dim=1))

def build():
    return SpeakerGru()
""")
    request = bench.request({"x": SEQUENCE, "length": ("int64", ["batch"])}, LENGTHS, outputs=("logits",))
    result = bench.convert("nets:build", request)

    assert [str(spec) for spec in result.model.signature.inputs] == [
        "x: float32[batch, time, 12]",
        "length: int64[batch]",
    ]
    assert [str(spec) for spec in result.model.signature.outputs] == ["logits: float32[batch, 9]"]
    assert {"batch": 8, "time": 26} in result.facts["proof"]["sizes"]
    assert {"batch": 1, "time": 7} in result.facts["proof"]["sizes"]
    for batch, time in ((1, 7), (3, 11), (8, 26)):
        feeds = {"x": np.ones((batch, time, 12), np.float32), "length": np.full(batch, 7)}
        assert infer(result, feeds)["logits"].shape == (batch, 9)


@pytest.mark.parametrize("layer", ["nn.GRU(12, 8, batch_first=True)", "nn.LSTM(12, 8, num_layers=2, batch_first=True)"])
def test_one_directional_layers_stay_one_node_for_all_lengths(bench, infer: Infer, layer: str) -> None:
    import onnx

    bench.write(f"""
class AllSteps(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = {layer}

    def forward(self, x):
        return self.layer(x)[0]
""")
    result = bench.convert("nets:AllSteps", bench.request({"x": SEQUENCE}, LENGTHS))

    assert result.facts["route"] == "torchscript"
    assert [str(spec) for spec in result.model.signature.outputs] == ["output: float32[batch, time, 8]"]
    assert len(onnx.load(result.model.path).graph.node) < 60
    assert infer(result, {"x": np.zeros((5, 19, 12), np.float32)})["output"].shape == (5, 19, 8)


LIMITED = """
class Limited(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        if x.shape[0] < 8:
            return self.linear(x)
        return self.linear(x) * 2
"""


def test_a_network_that_changes_at_batch_8_is_refused_beyond(bench) -> None:
    bench.write(LIMITED)
    with pytest.raises(ModelError) as caught:
        bench.convert("nets:Limited", bench.request(ROWS, {"batch": (1, 1, 16)}))

    assert caught.value.code == "export-failed"
    assert "dimension 'batch' (x, axis 0) is limited to 1..7, declared is 1..16" in caught.value.message
    assert "torchscript: output 'output' at batch=16 differs" in caught.value.message


def test_and_is_taken_below(bench) -> None:
    bench.write(LIMITED)
    result = bench.convert("nets:Limited", bench.request(ROWS, {"batch": (1, 1, 7)}))

    assert result.facts["route"] == "torch.export"
    assert not result.facts["rejected"]


def test_one_special_size_inside_the_range_is_found(bench) -> None:
    """No usual point of 1..8 is 3; the exporter's own assumption leads there."""
    bench.write("""
class Three(nn.Module):
    def forward(self, x):
        return x + 1 if x.shape[0] == 3 else x * 2
""")
    with pytest.raises(ModelError) as caught:
        bench.convert("nets:Three", bench.request(ROWS, {"batch": (1, 1, 8)}))

    assert caught.value.code == "export-failed"
    for route in ("torch.export", "dynamo", "torchscript"):
        assert f"{route}: output 'output' at batch=3 differs" in caught.value.message


@pytest.mark.parametrize("threshold", [0, 10_000])
def test_a_branch_on_data_is_refused_even_if_no_feed_takes_it(bench, threshold: int) -> None:
    bench.write(f"""
class Branch(nn.Module):
    def forward(self, x):
        if x.sum() > {threshold}:
            return x + 1
        return x - 1
""")
    with pytest.raises(ModelError) as caught:
        bench.convert("nets:Branch", bench.request(ROWS, {"batch": (1, 1, 8)}))

    assert caught.value.code == "export-failed"
    assert "torch.where" in caught.value.hint
    assert caught.value.where == f"{bench.root / 'nets.py'}:7"
    assert "tracing keeps only the path that the example takes" in caught.value.message


def test_reading_a_parameter_is_no_branch_on_data(bench) -> None:
    bench.write("""
class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(12, 4, batch_first=True)
        self.register_buffer("steps", torch.tensor(2))

    def forward(self, x):
        for _ in range(self.steps.item()):
            x = x + 1
        return self.gru(x)[0]
""")
    result = bench.convert("nets:Scaled", bench.request({"x": SEQUENCE}, LENGTHS))

    assert result.facts["route"] == "torchscript"


def test_a_branch_on_a_size_is_proven_at_every_size_when_traced(bench) -> None:
    bench.write("""
class Short(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(12, 4, batch_first=True)

    def forward(self, x):
        if x.shape[1] == 7:
            x = x * 3
        return self.gru(x)[0]
""")
    with pytest.raises(ModelError) as caught:
        bench.convert("nets:Short", bench.request({"x": SEQUENCE}, {"batch": (1, 1, 2), "time": (3, 3, 8)}))

    assert "torchscript: output 'output' at batch=1, time=7 differs" in caught.value.message


def test_adaptive_pooling_over_an_open_side(bench, infer: Infer) -> None:
    bench.write("""
class Pool(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d((None, 1))

    def forward(self, image):
        return self.pool(self.conv(image))
""")
    request = bench.request(
        {"image": ("float32", ["batch", 1, "height", 7])}, {"batch": (1, 1, 4), "height": (3, 9, 20)}
    )
    result = bench.convert("nets:Pool", request)

    assert result.facts["route"] == "torch.export"
    assert [str(spec) for spec in result.model.signature.outputs] == ["output: float32[batch, 4, height, 1]"]
    assert infer(result, {"image": np.ones((3, 1, 17, 7), np.float32)})["output"].shape == (3, 4, 17, 1)


def test_two_inputs_share_a_dimension(bench) -> None:
    bench.write("""
class Two(nn.Module):
    def forward(self, x, y):
        return x + y, x @ y.mT
""")
    pair = ("float32", ["batch", "n", 4])
    result = bench.convert("nets:Two", bench.request({"x": pair, "y": pair}, {"batch": (1, 1, 4), "n": (2, 5, 9)}))

    assert [str(spec) for spec in result.model.signature.inputs] == [
        "x: float32[batch, n, 4]",
        "y: float32[batch, n, 4]",
    ]
    assert [str(spec) for spec in result.model.signature.outputs] == [
        "output_0: float32[batch, n, 4]",
        "output_1: float32[batch, n, n]",
    ]


def test_sizes_that_the_network_refuses_are_no_fault_of_the_export(bench) -> None:
    bench.write("""
class Halves(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 2, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(2, 1, 2, stride=2)

    def forward(self, x):
        return self.up(self.down(x)) + x
""")
    side = {"batch": (1, 1, 2), "side": (8, 16, 32)}
    result = bench.convert("nets:Halves", bench.request({"x": ("float32", ["batch", 1, "side", 8])}, side))

    assert result.facts["proof"]["refused"]
    assert {"batch": 1, "side": 24} in result.facts["proof"]["sizes"]
    assert any("the network itself refuses" in note for note in bench.notes)


def test_a_range_that_the_network_cannot_take_is_the_users_mistake(bench) -> None:
    bench.write("""
class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4 * 6, 2)

    def forward(self, x):
        return self.linear(x.flatten(1))
""")
    with pytest.raises(ModelError) as caught:
        bench.convert(
            "nets:Fixed", bench.request({"x": ("float32", ["batch", "n", 4])}, {"batch": (1, 1, 2), "n": (6, 6, 8)})
        )

    assert caught.value.code == "network-refuses-shape"
    assert "forward() fails at" in caught.value.message
    assert caught.value.where == f"{bench.root / 'nets.py'}:11"
