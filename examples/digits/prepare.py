"""Fetches the digits, trains the network in seconds and writes `data/` and `models/`."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from examples.digits import net
from examples.fetch import Package, fetch
from examples.outputs import replacing, up_to_date

HERE = Path(__file__).parent
TRAIN, TEST = HERE / "data" / "train.npz", HERE / "data" / "test.npz"
WEIGHTS = HERE / "models" / "digits.safetensors"

SOURCE = Package("pypi", "scikit-learn", "1.9.1")
SHA256 = "cc80eb699401a962251a7b356310d031bb5dab183ef4caf1cc018708722fbf0c"
TRAINED_ON = 1297
"""of 1797 digits; the last 500 are for evaluation."""


def main() -> None:
    if up_to_date([TRAIN, TEST, WEIGHTS], code=[__file__, net.__file__]):
        return
    images, labels = read_digits()
    split = slice(None, TRAINED_ON), slice(TRAINED_ON, None)
    for path, rows in zip((TRAIN, TEST), split, strict=True):
        with replacing(path) as aside:
            np.savez(aside, image=images[rows], label=labels[rows])
    model = train(torch.from_numpy(images[:TRAINED_ON]), torch.from_numpy(labels[:TRAINED_ON]))
    with replacing(WEIGHTS) as aside:
        save_file(model.state_dict(), aside)
    print(f"digits: {accuracy(model, images[TRAINED_ON:], labels[TRAINED_ON:]):.2%} right on digits it has not seen")


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Images [1797,1,8,8] float32 in 0..1 and labels [1797] int64, shuffled."""
    (path,) = fetch(SOURCE, "sklearn/datasets/data/digits.csv.gz", sha256=SHA256)
    with gzip.open(path) as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.float32)
    table = np.random.RandomState(0).permutation(table)
    return table[:, :64].reshape(-1, 1, 8, 8) / 16, table[:, 64].astype(np.int64)


def train(images: torch.Tensor, labels: torch.Tensor, *, epochs: int = 10, batch: int = 64) -> nn.Module:
    """AdamW with one learning rate cycle."""
    torch.set_num_threads(1)  # more gain nothing on so small a network, and lose much on a busy machine
    torch.manual_seed(0)
    model = net.build()
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=4e-3, epochs=epochs, steps_per_epoch=-(-len(images) // batch)
    )
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(batch):
            loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, images: np.ndarray, labels: np.ndarray) -> float:
    predicted = model(torch.from_numpy(images)).argmax(dim=1).numpy()
    return float((predicted == labels).mean())


if __name__ == "__main__":
    main()
