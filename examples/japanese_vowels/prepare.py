"""Fetches the recordings, trains the network in seconds and writes `data/` and `models/`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from examples.fetch import Package, fetch
from examples.japanese_vowels import net
from examples.outputs import replacing, up_to_date

HERE = Path(__file__).parent
TRAIN, TEST = HERE / "data" / "train.npz", HERE / "data" / "test.npz"
WEIGHTS = HERE / "models" / "japanese_vowels.safetensors"

SOURCE = Package("pypi", "aeon", "1.6.0")
SHA256 = "a9d34d48d0400eb526cac5377e4b58d57df594517b7758eea57c3f04bac106cc"


@dataclass(frozen=True)
class Utterances:
    """x [n,t,12] float32, zero-padded to the longest; length [n] int64; label [n] int64, the speaker."""

    x: np.ndarray
    length: np.ndarray
    label: np.ndarray

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        return torch.from_numpy(self.x), torch.from_numpy(self.length), torch.from_numpy(self.label)


def main() -> None:
    if up_to_date([TRAIN, TEST, WEIGHTS], code=[__file__, net.__file__]):
        return
    folder = "aeon/datasets/data/JapaneseVowels/JapaneseVowels_"
    test_file, train_file = fetch(SOURCE, f"{folder}TEST.ts", f"{folder}TRAIN.ts", sha256=SHA256)
    recordings = read(train_file)
    frames = np.concatenate([series for series, _ in recordings])
    mean, std = frames.mean(axis=0), frames.std(axis=0)
    training, test = (pad(rows, mean=mean, std=std) for rows in (recordings, read(test_file)))
    for path, utterances in ((TRAIN, training), (TEST, test)):
        with replacing(path) as aside:
            np.savez(aside, x=utterances.x, length=utterances.length, label=utterances.label)
    model = train(training)
    with replacing(WEIGHTS) as aside:
        save_file(model.state_dict(), aside)
    print(f"japanese_vowels: {accuracy(model, test):.2%} of the speakers recognised")


def read(path: Path) -> list[tuple[np.ndarray, int]]:
    """Series [t,12] and speakers 0..8. A line holds the channels, divided by colons, and the speaker 1..9."""
    lines = path.read_text().split("@data\n")[1].splitlines()
    rows = [line.split(":") for line in lines]
    return [(np.array([row.split(",") for row in channels], np.float32).T, int(label) - 1) for *channels, label in rows]


def pad(recordings: list[tuple[np.ndarray, int]], *, mean: np.ndarray, std: np.ndarray) -> Utterances:
    """Normalised by the training set's mean and deviation of each channel."""
    length = np.array([len(series) for series, _ in recordings])
    x = np.zeros((len(recordings), length.max(), len(mean)), np.float32)
    for row, (series, _) in zip(x, recordings, strict=True):
        row[: len(series)] = (series - mean) / std
    return Utterances(x, length, np.array([speaker for _, speaker in recordings]))


def train(utterances: Utterances, *, epochs: int = 40, batch: int = 32) -> nn.Module:
    """AdamW with one learning rate cycle; every batch is as long as its longest utterance."""
    torch.set_num_threads(1)  # more gain nothing on so small a network, and lose much on a busy machine
    torch.manual_seed(1)
    model = net.build()
    x, length, label = utterances.tensors()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=5e-3, epochs=epochs, steps_per_epoch=-(-len(x) // batch)
    )
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(batch):
            longest = int(length[rows].max())
            loss = nn.functional.cross_entropy(model(x[rows, :longest], length[rows]), label[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, utterances: Utterances) -> float:
    x, length, label = utterances.tensors()
    return (model(x, length).argmax(dim=1) == label).double().mean().item()


if __name__ == "__main__":
    main()
