"""A speaker encoder (Wan et al., 2017, https://arxiv.org/abs/1710.10467), with the parameter names of its weights."""

from __future__ import annotations

from torch import Tensor, nn

MELS = 40
WIDTH = 256


class SpeakerEncoder(nn.Module):
    """mels [b,t,40] -> embedding [b,256] of length 1: 1.42 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(MELS, WIDTH, num_layers=3, batch_first=True)
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, mels: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(self.linear(hidden[-1]).relu())


def build() -> nn.Module:
    """The factory that targets.toml names; edgetool loads the weights into what it returns."""
    return SpeakerEncoder()
