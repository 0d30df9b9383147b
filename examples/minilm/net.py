"""all-MiniLM-L6-v2, a BERT encoder (Devlin et al., 2018, https://arxiv.org/abs/1810.04805) of six layers: from token
ids to one vector a text. Parameters are named as in the published weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

VOCABULARY = 30_522
POSITIONS = 512
WIDTH = 384
INNER = 1_536
HEADS = 12
LAYERS = 6

MASKED = -1e4
"""Added to the scores of padding: softmax makes it 0, and float16 can still hold it."""


class Embeddings(nn.Module):
    """input_ids [b,s] -> [b,s,WIDTH]: the sum of what the word and its position say."""

    def __init__(self) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(VOCABULARY, WIDTH)
        self.position_embeddings = nn.Embedding(POSITIONS, WIDTH)
        self.token_type_embeddings = nn.Embedding(2, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, input_ids: Tensor) -> Tensor:
        positions = self.position_embeddings.weight[: input_ids.shape[1]]
        return self.LayerNorm(self.word_embeddings(input_ids) + positions + self.token_type_embeddings.weight[0])


class SelfAttention(nn.Module):
    """hidden [b,s,WIDTH], bias [b,1,1,s] -> [b,s,WIDTH]."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH)
        self.value = nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        query, key, value = (_split_heads(project(hidden)) for project in (self.query, self.key, self.value))
        scores = query @ key.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5 + bias
        return (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(start_dim=2)


def _split_heads(x: Tensor) -> Tensor:
    """[b,s,WIDTH] -> [b,HEADS,s,WIDTH/HEADS]."""
    return x.unflatten(2, (HEADS, WIDTH // HEADS)).transpose(1, 2)


class AddAndNorm(nn.Module):
    """A projection, the residual, a layer norm."""

    def __init__(self, width_in: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width_in, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(x) + residual)


class Layer(nn.Module):
    """Attention and a feed-forward network, each with its residual."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({"self": SelfAttention(), "output": AddAndNorm(WIDTH)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(WIDTH, INNER)})
        self.output = AddAndNorm(INNER)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        hidden = self.attention["output"](self.attention["self"](hidden, bias), hidden)
        return self.output(nn.functional.gelu(self.intermediate["dense"](hidden)), hidden)


class SentenceEncoder(nn.Module):
    """input_ids and attention_mask [b,s] int64 -> embedding [b,WIDTH] of length 1: the mean over the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = Embeddings()
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer() for _ in range(LAYERS))})

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        mask = attention_mask.to(torch.float32)
        bias = (1 - mask)[:, None, None, :] * MASKED
        hidden = self.embeddings(input_ids)
        for layer in self.encoder["layer"]:
            hidden = layer(hidden, bias)
        weights = mask[:, :, None]
        mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
        return nn.functional.normalize(mean)


def build() -> nn.Module:
    """The factory that targets.toml names; edgetool loads the weights into what it returns."""
    return SentenceEncoder()
