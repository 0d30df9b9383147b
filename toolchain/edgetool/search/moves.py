"""What the search can do, as data: recipes to begin with, and options that make one more accurate or faster.

Rows name passes and options by their names only. A row whose pass is not installed is skipped, and one whose pass
refuses the network, or gives the network of another row, is reported with that reason: adding a pass to the search is
adding a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Objective: TypeAlias = Literal["latency", "size", "memory"]

ALL: tuple[Objective, ...] = ("latency", "size", "memory")
STORAGE: tuple[Objective, ...] = ("size", "memory")


@dataclass(frozen=True, slots=True)
class Start:
    """A pass to begin with, its defaults if nothing is said.

    Attributes:
        use: its name.
        options: that differ from its defaults.
        serves: the objectives that it can gain anything for.
        fact: of the target, which rules it out where it is false.
        known: it is ruled out where nothing is known of that fact, too.
        bolder: options that do more, each tried as long as the ones before hold.
        structural: it leaves a float network with less in it, so that other passes can follow.
    """

    use: str
    options: Mapping[str, Any] = field(default_factory=dict)
    serves: tuple[Objective, ...] = ALL
    fact: str | None = None
    known: bool = False
    bolder: tuple[Mapping[str, Any], ...] = ()
    structural: bool = False


@dataclass(frozen=True, slots=True)
class Tweak:
    """Options of a pass to try besides.

    Attributes:
        use: the pass.
        options: what to set.
        wants: `accuracy`: tried where the constraint is missed. `speed`: tried where there is room.
        needs: operators of which the network must have one for it to make a difference.
        unless: operators of which it must have none, because the default is the same then.
    """

    use: str
    options: Mapping[str, Any]
    wants: Literal["accuracy", "speed"]
    needs: frozenset[str] = frozenset()
    unless: frozenset[str] = frozenset()


STARTS = (
    Start("quantize-static", fact="int8"),
    Start("quantize-dynamic", fact="int8"),
    Start("cast-bf16", serves=("latency",)),
    Start("cast-fp16", fact="fp16", serves=("latency",), known=True),
    Start("cast-fp16", serves=STORAGE),
    Start("quantize-weights", serves=STORAGE, bolder=({"bits": 4, "method": "hqq"},)),
    Start("nncf-quantize", fact="int8", serves=("latency",)),
    Start("low-rank", {"keep": 0.9}, structural=True, bolder=({"keep": 0.75}, {"keep": 0.6})),
    Start("drop-layers", {"count": 1}, structural=True, bolder=({"count": 2}, {"count": 3})),
    Start(
        "prune-channels", {"amount": 0.1}, structural=True, bolder=({"amount": 0.2}, {"amount": 0.35}, {"amount": 0.5})
    ),
)
"""In the order in which they are tried: what usually gains most comes first, because the time may run out."""

_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
_POOLS = frozenset({"GlobalAveragePool", "ReduceMean"})

TWEAKS = (
    Tweak("quantize-static", {"attention_scores": True}, "speed", needs=frozenset({"Softmax"})),
    Tweak(
        "quantize-static", {"attention_scores": True, "attention_values": True}, "speed", needs=frozenset({"Softmax"})
    ),
    Tweak("quantize-static", {"pools": True}, "speed", needs=_POOLS),
    Tweak("quantize-static", {"equalization": 0.5}, "accuracy", needs=_CONVOLUTIONS),
    Tweak("quantize-static", {"calibrator": "min-max"}, "accuracy", needs=_CONVOLUTIONS),
    Tweak("quantize-static", {"calibrator": "mse"}, "accuracy", unless=_CONVOLUTIONS),
    Tweak("quantize-static", {"calibrator": "percentile"}, "accuracy"),
    Tweak("quantize-static", {"smoothing": 0.5}, "accuracy", needs=frozenset({"MatMul"})),
    Tweak("nncf-quantize", {"model_type": "transformer"}, "accuracy", needs=frozenset({"Softmax"})),
)
"""Each is tried on top of a start of the same pass."""
