"""What an export has to be before it is taken: of the same numbers, names and bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgetool.errors import ModelError
from edgetool.importers.base import ImportResult
from tests.torch_importer.conftest import ROWS, Infer


def rejected(result: ImportResult) -> dict[str, str]:
    return {row["route"]: row["reason"] for row in result.facts["rejected"]}


def test_dict_outputs_keep_their_names_and_can_be_chosen(bench, infer: Infer) -> None:
    bench.write("""
class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.box, self.label = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return {"label": self.label(x), "aux": (x * 2, None), "box": self.box(x)}
""")
    dims = {"batch": (1, 1, 4)}
    whole = bench.convert("nets:Heads", bench.request(ROWS, dims))
    assert [spec.name for spec in whole.model.signature.outputs] == ["label", "aux_0", "box"]

    chosen = bench.convert("nets:Heads", bench.request(ROWS, dims, outputs=("box", "label")))
    assert [str(spec) for spec in chosen.model.signature.outputs] == [
        "box: float32[batch, 4]",
        "label: float32[batch, 3]",
    ]
    both = [infer(row, {"x": np.ones((2, 4), np.float32)}) for row in (whole, chosen)]
    np.testing.assert_array_equal(both[0]["box"], both[1]["box"])


def test_integer_inputs_with_a_small_vocabulary(bench) -> None:
    bench.write("""
class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 8)

    def forward(self, ids, mask):
        weight = mask.unsqueeze(-1).float()
        return (self.embedding(ids) * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
""")
    ids = ("int64", ["batch", "tokens"])
    result = bench.convert(
        "nets:Bag", bench.request({"ids": ids, "mask": ids}, {"batch": (1, 1, 4), "tokens": (4, 8, 16)})
    )

    assert result.facts["proof"]["feeds"] > len(result.facts["proof"]["sizes"])


def test_samples_feed_networks_that_random_numbers_cannot(bench) -> None:
    bench.write("""
class Picky(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(1000, 4)

    def forward(self, ids):
        return self.embedding(ids - 500)
""")
    request = bench.request({"ids": ("int64", ["batch", "tokens"])}, {"batch": (1, 1, 4), "tokens": (2, 4, 8)})
    with pytest.raises(ModelError) as caught:
        bench.convert("nets:Picky", request)
    assert caught.value.code == "network-refuses-shape"
    assert "[data] calibration" in caught.value.hint

    bench.samples = [{"ids": np.arange(500, 505)[None]}]
    result = bench.convert("nets:Picky", request)
    assert result.facts["proof"]["samples"] is True


def test_an_export_that_computes_something_else_is_rejected(bench, infer: Infer) -> None:
    bench.write("""
class Planted(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        y = self.linear(x)
        return y * 1.01 if torch.compiler.is_exporting() else y
""")
    result = bench.convert("nets:Planted", bench.request(ROWS, {"batch": (1, 1, 4)}))

    assert result.facts["route"] == "torchscript"
    assert list(rejected(result)) == ["torch.export", "dynamo"]
    assert all("differs by up to" in reason for reason in rejected(result).values())
    assert any("torch.export was rejected" in note for note in bench.notes)


def test_nan_that_only_the_export_gives_is_rejected(bench) -> None:
    bench.write("""
class Planted(nn.Module):
    def forward(self, x):
        return x / 0 * 0 if torch.compiler.is_exporting() else x * 2
""")
    result = bench.convert("nets:Planted", bench.request(ROWS, {"batch": (1, 1, 4)}))

    assert result.facts["route"] == "torchscript"
    assert "has NaN where the network gives numbers" in rejected(result)["torch.export"]


def test_nan_of_the_network_itself_is_kept(bench, infer: Infer) -> None:
    bench.write("""
class Log(nn.Module):
    def forward(self, x):
        return torch.log(x)
""")
    result = bench.convert("nets:Log", bench.request(ROWS, {"batch": (1, 1, 4)}))

    assert np.isnan(infer(result, {"x": np.full((1, 4), -1, np.float32)})["output"]).all()


def test_an_operator_without_translation_is_named(bench, capfd) -> None:
    bench.write("""
@torch.library.custom_op("edgetool_tests::swirl", mutates_args=())
def swirl(x: torch.Tensor) -> torch.Tensor:
    return x.flip(0)

@swirl.register_fake
def _(x):
    return torch.empty_like(x)

class Swirl(nn.Module):
    def forward(self, x):
        return swirl(x)
""")
    with pytest.raises(ModelError) as caught:
        bench.convert("nets:Swirl", bench.request(ROWS, {"batch": (1, 1, 4)}))

    assert caught.value.code == "export-failed"
    assert caught.value.message.count("no ONNX translation for the operator edgetool_tests") == 3
    assert "\x1b" not in caught.value.message
    assert capfd.readouterr() == ("", "")


def test_passing_an_input_through(bench, infer: Infer) -> None:
    bench.write("""
class Through(nn.Module):
    def forward(self, x):
        return x, x * 2
""")
    result = bench.convert("nets:Through", bench.request(ROWS, {"batch": (1, 1, 4)}, outputs=("same", "x2")))

    got = infer(result, {"x": np.ones((3, 4), np.float32)})
    np.testing.assert_array_equal(got["x2"], 2 * got["same"])


def test_the_same_network_gives_the_same_bytes_anywhere(bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(x).relu()
"""
    bench.write(code)
    first = bench.convert("nets:Net", bench.request(ROWS, {"batch": (1, 1, 4)})).model.path.read_bytes()
    elsewhere = type(bench)(tmp_path / "another" / "place")
    elsewhere.root.mkdir(parents=True)
    elsewhere.write(code)
    monkeypatch.chdir(elsewhere.root)
    second = elsewhere.convert("nets:Net", elsewhere.request(ROWS, {"batch": (1, 1, 4)})).model.path.read_bytes()

    assert first == second
    assert str(bench.root).encode() not in first
    assert sorted(path.name for path in elsewhere.root.iterdir()) == ["nets.py", "work1"]


def test_large_weights_go_beside_the_model(bench, infer: Infer, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgetool import graph

    monkeypatch.setattr("edgetool_torch.attempt._INLINE_LIMIT", 1000)
    bench.write("""
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 64)

    def forward(self, x):
        return self.linear(x)
""")
    result = bench.convert("nets:Net", bench.request({"x": ("float32", ["batch", 64])}, {"batch": (1, 1, 4)}))

    assert [path.name for path in graph.files(result.model.path)] == ["model.onnx", "model.onnx.data"]
    assert infer(result, {"x": np.ones((2, 64), np.float32)})["output"].shape == (2, 64)
