"""What each exporter does to the networks that made the routes necessary, by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgetool.signature import DimRange, TensorSpec
from edgetool_torch.calling import parameters_of, plan_call
from edgetool_torch.network import Network
from edgetool_torch.routes import ROUTES, Export, Job, RejectedError, routes_for

torch = pytest.importorskip("torch")
nn = torch.nn


class AllSteps(nn.Module):
    def __init__(self, *, bidirectional: bool):
        super().__init__()
        self.gru = nn.GRU(4, 3, batch_first=True, bidirectional=bidirectional)

    def forward(self, x):
        return self.gru(x)[0]


def network_of(module) -> Network:
    wanted = (TensorSpec("x", "float32", ("batch", "time", 4)),)
    dims = {"batch": DimRange(1, 1, 4), "time": DimRange(3, 5, 9)}
    module.eval().requires_grad_(False)
    return Network(module, "module", wanted, dims, plan_call(parameters_of(module.forward), wanted, source="net"))


def export(name: str, network: Network, scratch: Path) -> Export:
    route = next(row for row in ROUTES if row.name == name)
    job = Job(network, {"x": torch.randn(2, 5, 4)}, ("output",), 20, scratch, lambda: ())
    return route.export(job)


@pytest.mark.parametrize(
    ("route", "bidirectional"), [("torch.export", False), ("torch.export", True), ("dynamo", False)]
)
def test_torch_export_freezes_the_length_of_a_gru_and_is_caught(
    tmp_path: Path, route: str, bidirectional: bool
) -> None:
    with pytest.raises(RejectedError) as caught:
        export(route, network_of(AllSteps(bidirectional=bidirectional)), tmp_path)

    assert caught.value.reason == "dimension 'time' (x, axis 1) was specialised to 5"


def test_the_converter_of_torchscript_freezes_it_without_a_word_and_is_caught(tmp_path: Path) -> None:
    traced = torch.jit.trace(nn.GRU(4, 3, batch_first=True), torch.randn(2, 5, 4))
    network = replace(network_of(AllSteps(bidirectional=False)), module=traced, form="torchscript")
    with pytest.raises(RejectedError) as caught:
        export("torchscript-converter", network, tmp_path)

    assert caught.value.reason == "dimension 'time' (x, axis 1) is fixed at 5, declared is 3..9"


def test_tracing_keeps_the_layer(tmp_path: Path) -> None:
    graph = export("torchscript", network_of(AllSteps(bidirectional=False)), tmp_path).model.graph

    assert [node.op_type for node in graph].count("GRU") == 1


def test_recurrent_networks_are_traced_first() -> None:
    assert [row.name for row in routes_for(network_of(AllSteps(bidirectional=True)))] == [
        "torchscript",
        "torch.export",
        "dynamo",
    ]
    assert [row.name for row in routes_for(network_of(nn.Linear(4, 4)))] == ["torch.export", "dynamo", "torchscript"]


def test_lines_that_tracing_decided_are_told(tmp_path: Path) -> None:
    class Short(nn.Module):
        def forward(self, x):
            return x * 3 if x.shape[1] > 5 else x

    found = export("torchscript", network_of(Short()), tmp_path)

    assert [Path(line).name.partition(":")[0] for line in found.assumptions] == ["test_routes.py"]
