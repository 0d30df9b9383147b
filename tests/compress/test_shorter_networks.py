"""`drop-layers` and `low-rank` on real networks: applied or refused with a reason, sound, alike in both runtimes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from benchmarks.networks import prepare
from edgetool.artifact import Model
from edgetool.context import BuildContext
from edgetool.graph import read_model
from edgetool.passes.base import AnyPass
from edgetool.signature import DimRange
from edgetool_openvino.backend import OpenVino
from edgetool_passes.drop_layers import DropLayers
from edgetool_passes.low_rank import LowRank
from tests.compress.residual_networks import apply, relative_error, run

pytestmark = [pytest.mark.network, pytest.mark.slow]

Feed = Mapping[str, np.ndarray[Any, Any]]
EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True)
class Network:
    """A model in a folder of its own, and samples."""

    model: Model
    feeds: list[Feed]


def _classifier(name: str, folder: Path) -> Network:
    network = prepare(name)
    feeds: Iterator[Feed] = network.feeds(network.calibration, batch=4)
    model = read_model(_linked(network.path, folder), {"batch": DimRange(1, 1, 4)})
    return Network(model, [one for _, one in zip(range(6), feeds, strict=False)])


def _text_lines(folder: Path) -> Network:
    from examples.ppocr import data, prepare

    prepare.main()
    path = _linked(EXAMPLES / "ppocr" / "models" / "ppocr_rec.onnx", folder)
    feeds = [feeds for _, feeds in zip(range(6), data.calibration(), strict=False)]
    return Network(read_model(path, {}), feeds)


def _linked(path: Path, folder: Path) -> Path:
    """The model beside which passes may make folders."""
    link = folder / path.name
    link.write_bytes(path.read_bytes())
    return link


def _network(name: str, folder: Path) -> Network:
    return _text_lines(folder) if name == "ppocr" else _classifier(name, folder)


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_lite0", "resnet18", "ppocr"])
@pytest.mark.parametrize(
    ("kind", "options", "most_lost"),
    [
        (DropLayers, {"count": 1}, 0.5),
        (DropLayers, {"blocks": [0], "correction": "scale"}, 0.7),
        (LowRank, {"keep": 0.9}, 0.5),
        (LowRank, {"keep": 0.9, "of": "macs", "kernels": "separable"}, 0.9),
    ],
)
def test_applied_soundly(
    tmp_path: Path, name: str, kind: type[AnyPass], options: dict[str, Any], most_lost: float
) -> None:
    network = _network(name, tmp_path)
    applied = apply(kind, network.model, network.feeds[:4], **options)
    facts: Any = applied.result.facts
    measure = options.get("of", "parameters")
    assert facts[measure]["to"] < facts[measure]["from"]
    expected = run(network.model.path, network.feeds[4:5])
    found = run(applied.result.model.path, network.feeds[4:5])
    assert relative_error(found, expected) < most_lost
    (tmp_path / "engine").mkdir()
    backend, context = OpenVino(OpenVino.Options()), BuildContext(threads=1)
    with backend.open(backend.build(applied.result.model, tmp_path / "engine", context), context) as runner:
        (output,) = runner.infer(network.feeds[4]).values()
    assert relative_error(output, found) < 1e-3


def test_networks_without_repeated_blocks_are_refused() -> None:
    from examples.magika import prepare

    prepare.main()
    model = read_model(EXAMPLES / "magika" / "models" / "magika.onnx", {})
    (problem,) = DropLayers(DropLayers.Options(count=1)).check(model)
    assert "no residual block repeats" in problem.reason


def test_a_mobile_network_has_little_to_factor(tmp_path: Path) -> None:
    """Depthwise convolutions stay, each with its reason."""
    network = _network("mobilenet_v2", tmp_path)
    applied = apply(LowRank, network.model, network.feeds[:2], keep=0.9)
    left: Any = applied.result.facts["left"]
    depthwise = [label for label, reason in left.items() if "depthwise" in reason]
    proto = onnx.load(network.model.path)
    assert len(depthwise) == sum(
        any(entry.name == "group" and entry.i > 1 for entry in node.attribute) for node in proto.graph.node
    )
