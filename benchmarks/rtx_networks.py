"""What TensorRT-RTX makes of real networks: every recipe for every GPU that it serves, built here without one.

Says how long a build takes, how large the engine is beside its ONNX, and what is refused and why. Whether an engine is
fast, or right, only a GPU can tell: nothing here is a claim about either.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.networks import prepare
from edgetool.artifact import Model
from edgetool.backends import Site
from edgetool.context import BuildContext, PassContext
from edgetool.errors import EdgetoolError
from edgetool.graph import files, read_model
from edgetool.runner import Feeds
from edgetool.signature import DimRange
from edgetool.testing.samples import GivenSamples

RECIPES = {
    "float16": ("simplify", "cast-fp16"),
    "int8": ("simplify", "quantize-static"),
    "int8 on float16": ("simplify", "quantize-static", "cast-fp16"),
}
_SAMPLES = 16
_BATCH = {"batch": DimRange(1, 1, 8)}


@dataclass(frozen=True)
class Network:
    """A float network with samples.

    Attributes:
        name: as it is printed.
        model: float32, with ranges for its dimensions.
        samples: feeds to calibrate with.
    """

    name: str
    model: Model
    samples: Callable[[], Iterable[Feeds]]


@dataclass(frozen=True)
class Outcome:
    """One engine, or why there is none.

    Attributes:
        seconds: that the build took, or took until it was refused.
        size: bytes of the engine; None when it was refused.
        digest: of its bytes.
        refusal: code and message of the error.
    """

    seconds: float
    size: int | None = None
    digest: str = ""
    refusal: str = ""


def main() -> None:
    """Print one row for each network and recipe, one column for each capability."""
    from edgetool_tensorrt.rtx.capability import OFFERED

    print("rtx_networks: engines of TensorRT-RTX, seconds and megabytes for each compute capability")
    for network in networks():
        print(f"  {network.name}")
        for recipe in RECIPES:
            with tempfile.TemporaryDirectory() as folder:
                _print(network, recipe, OFFERED, Path(folder))


def networks() -> Iterator[Network]:
    """MobileNetV2, the shape of ResNet-18, MiniLM, and the recogniser of PP-OCR."""
    for name in ("mobilenet_v2", "resnet18", "minilm"):
        found = prepare(name)
        feeds = partial(found.feeds, found.calibration, batch=1)
        yield Network(name, read_model(found.path, _BATCH), feeds)
    yield _ppocr()


def _ppocr() -> Network:
    from examples.ppocr import prepare as example
    from examples.ppocr.data import calibration

    example.main()
    ranges = (DimRange(1, 1, 2), DimRange(320, 480, 768))  # batch, and the width of a line
    dims = dict(zip(read_model(example.MODEL).signature.symbols, ranges, strict=True))
    return Network("ppocr", read_model(example.MODEL, dims), calibration)


def typed(network: Network, recipe: str, folder: Path) -> Model:
    """The network after the passes of a recipe."""
    from edgetool_onnxruntime.reference import open_onnx
    from edgetool_passes.cast_fp16 import CastFp16
    from edgetool_passes.quantize_static import QuantizeStatic
    from edgetool_passes.simplify import Simplify

    kinds: Mapping[str, Any] = {"simplify": Simplify, "cast-fp16": CastFp16, "quantize-static": QuantizeStatic}
    samples = GivenSamples(list(islice(network.samples(), _SAMPLES)))
    context = PassContext(threads=1, open_reference=lambda path: open_onnx(path, 1), calibration=samples)
    model = network.model
    for number, name in enumerate(RECIPES[recipe]):
        (folder / f"{number}-{name}").mkdir()
        model = kinds[name](kinds[name].Options()).apply(model, folder / f"{number}-{name}", context).model
    return model


def build(model: Model, folder: Path, sm: int) -> Outcome:
    """Build for one capability, and look at what came of it."""
    from edgetool_tensorrt import rtx
    from edgetool_tensorrt.options import TensorRtOptions

    folder.mkdir()
    started = time.perf_counter()
    try:
        engine = rtx.build(model, folder, TensorRtOptions(), Site(facts={"sm": sm}), BuildContext(threads=1))
    except EdgetoolError as error:
        return Outcome(time.perf_counter() - started, refusal=f"{error.code}: {error.message}")
    seconds = time.perf_counter() - started
    with engine.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Outcome(seconds, engine.path.stat().st_size, digest)


def _print(network: Network, recipe: str, capabilities: Iterable[int], folder: Path) -> None:
    model = typed(network, recipe, folder)
    size = sum(path.stat().st_size for path in files(model.path))
    outcomes = {sm: build(model, folder / str(sm), sm) for sm in capabilities}
    cells = (
        f"{sm}: {found.seconds:4.1f} s {found.size / 1e6:5.1f} MB" if found.size is not None else f"{sm}: refused"
        for sm, found in outcomes.items()
    )
    print(f"    {recipe:16} onnx {size / 1e6:5.1f} MB  " + "  ".join(cells), flush=True)
    for sm, found in outcomes.items():
        if found.refusal:
            print(f"      {sm}: {found.refusal}")
    built = next((sm for sm, found in outcomes.items() if found.size is not None), None)
    if built is not None and build(model, folder / "again", built).digest != outcomes[built].digest:
        print(f"      {built}: another build gave other bytes")


if __name__ == "__main__":
    main()
