"""The weights behind the sites: each once, however many nodes share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool_passes.weight_only.grain import Grain
from edgetool_passes.weight_only.layout import Layout
from edgetool_passes.weight_only.sites import Site

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True, eq=False)
class Weight:
    """A stored weight that is quantized one way.

    Attributes:
        value: the initializer.
        grain: how finely.
        sites: the nodes that read it so, in the graph's order.
    """

    value: ir.Value
    grain: Grain
    sites: tuple[Site, ...]

    @property
    def name(self) -> str:
        return self.value.name or ""

    @property
    def label(self) -> str:
        """How to speak of it: its first node."""
        return self.sites[0].label

    @property
    def layout(self) -> Layout:
        return Layout(self.sites[0].shape, self.grain)

    @property
    def tensor(self) -> ir.TensorProtocol:
        """The float weight."""
        tensor = self.value.const_value
        assert tensor is not None  # only initializers become sites
        return tensor


def weights_of(sites: Sequence[Site]) -> tuple[Weight, ...]:
    """One weight may come twice, if two nodes want it quantized in different ways."""
    found: dict[tuple[ir.Value, Grain], list[Site]] = {}
    for site in sites:
        found.setdefault((site.weight, site.grain), []).append(site)
    return tuple(Weight(value, grain, tuple(those)) for (value, grain), those in found.items())
