"""Eager PyTorch, the judge: what the network gives at chosen sizes, and what it reads out of tensors on the way."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from edgetool.context import ImportContext
from edgetool.errors import ModelError
from edgetool.runner import Feeds
from edgetool_torch.feeds import SEEDS, Feed, Sizes, example, points, random_feed, sample_feeds
from edgetool_torch.network import Network
from edgetool_torch.outputs import flatten
from edgetool_torch.quiet import quiet
from edgetool_torch.reasons import blame, worded

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class Expectation:
    """What eager PyTorch gave.

    Attributes:
        sizes: of the symbolic dimensions.
        feed: name -> array.
        outputs: natural output name -> array, in order.
    """

    sizes: Sizes
    feed: Feed
    outputs: Mapping[str, np.ndarray[Any, Any]]


class Eager:
    """Runs the network. Each point is computed once; expectations stay until the conversion is proven."""

    def __init__(self, network: Network, context: ImportContext) -> None:
        self.network = network
        self._context = context
        self._known: dict[tuple[tuple[str, int], ...], tuple[Expectation, ...] | Exception] = {}

    @cached_property
    def _samples(self) -> tuple[Feeds, ...]:
        """The first few of the user's samples; producing them may cost more than all inferences here."""
        return tuple(itertools.islice(self._context.samples or (), SEEDS))

    @property
    def refused(self) -> tuple[Sizes, ...]:
        """Sizes that the network itself did not take."""
        return tuple(dict(key) for key, found in self._known.items() if isinstance(found, Exception))

    @property
    def uses_samples(self) -> bool:
        """True when feeds are the user's samples where the network takes them."""
        return self._context.samples is not None

    def expect_declared(self) -> tuple[Expectation, ...]:
        """Expectations at the declared ranges: several feeds at the smallest and the tuned sizes, one elsewhere.

        Raises:
            ModelError: `network-refuses-shape` when the network fails at an end of the ranges.
        """
        dims = self.network.dims
        ends = [{name: wanted.at(end) for name, wanted in dims.items()} for end in ("min", "max", "opt")]
        found: list[Expectation] = []
        for sizes in points(dims):
            several = sizes in (ends[0], ends[2]) or not dims
            found += self.expect(sizes, feeds=SEEDS if several else 1, must=sizes in ends)
        return tuple(found)

    def expect(self, sizes: Sizes, *, feeds: int = 1, must: bool = False) -> tuple[Expectation, ...]:
        """Expectations at one point; empty when the network does not take it.

        Raises:
            ModelError: `network-refuses-shape` instead, when `must` is set.
        """
        key = tuple(sorted(sizes.items()))
        if key not in self._known:
            self._known[key] = self._compute(sizes, feeds)
        found = self._known[key]
        if isinstance(found, Exception):
            if must:
                raise _refusal(sizes, found, has_samples=self.uses_samples) from found
            return ()
        return found

    def example(self) -> Mapping[str, torch.Tensor]:
        """Tensors to trace with.

        Raises:
            ModelError: `network-refuses-shape`.
        """
        found = self.expect(example(self.network.dims)) or self.expect(
            example(self.network.dims, distinct=False), must=True
        )
        return self.tensors(found[0].feed)

    def tensors(self, feed: Feed) -> dict[str, torch.Tensor]:
        import torch

        return {name: torch.from_numpy(array.copy()) for name, array in feed.items()}

    def value_reads(self) -> tuple[str, ...]:
        """Lines where forward() takes a value out of a tensor that depends on the inputs: a trace bakes it in."""
        from edgetool_torch.reads import reads_of

        tensors = self.example()
        with quiet():
            return reads_of(lambda: self.network.run(tensors), tuple(tensors.values()))

    def _compute(self, sizes: Sizes, feeds: int) -> tuple[Expectation, ...] | Exception:
        found: list[Expectation] = []
        error: Exception = ValueError("no feed was possible")
        for feed in itertools.islice(self._feeds(sizes), SEEDS):
            try:
                outputs = self._run(feed)
            except ModelError:
                raise
            except Exception as failure:  # noqa: BLE001 # forward() is the user's code; every feed gets its chance
                error = failure
                continue
            found.append(Expectation(sizes, feed, outputs))
            if len(found) == feeds:
                break
        return tuple(found) or error

    def _feeds(self, sizes: Sizes) -> Iterator[Feed]:
        """Samples first where there are any, then random feeds."""
        yield from sample_feeds(self._samples, self.network.specs, sizes)
        for seed in range(SEEDS):
            yield random_feed(self.network.specs, sizes, seed)

    def _run(self, feed: Feed) -> dict[str, np.ndarray[Any, Any]]:
        with quiet():
            result = self.network.run(self.tensors(feed))
        return {name: _to_numpy(tensor) for name, tensor in flatten(result)}


def _to_numpy(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    import torch

    plain = tensor.detach().float() if tensor.dtype is torch.bfloat16 else tensor.detach()
    array: np.ndarray[Any, Any] = plain.cpu().numpy().copy()
    return array


def _refusal(sizes: Sizes, error: Exception, *, has_samples: bool) -> ModelError:
    text, where = blame(error)
    hint = "check shapes and dtypes in [model.inputs], and declare ranges in [model.dims] that the network takes"
    if not has_samples:
        hint += "; if it needs meaningful values, such as ids, set [data] calibration"
    return ModelError("network-refuses-shape", f"forward() fails at {worded(sizes)}: {text}", where=where, hint=hint)
