"""A bidirectional GRU that tells speakers apart by a vowel, for sequences of any length."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHANNELS = 12
HIDDEN = 48
SPEAKERS = 9


class SpeakerGru(nn.Module):
    """x [b,t,12], zero-padded, and length [b] int64 -> logits [b,9]."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(CHANNELS, HIDDEN, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.3)
        self.classifier = nn.Linear(2 * HIDDEN, SPEAKERS)

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        states, _ = self.gru(x)
        steps = torch.arange(x.shape[1], device=x.device)
        inside = (steps < length[:, None]).to(x.dtype)[:, :, None]
        mean = (states * inside).sum(dim=1) / inside.sum(dim=1)
        return self.classifier(self.dropout(mean))


def build() -> nn.Module:
    """The factory that targets.toml names; edgetool loads the weights into what it returns."""
    return SpeakerGru()
