"""Whether RTX engines can be built and run on this machine, found out without loading TensorRT-RTX."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from edgetool.backends import Availability, Site
from edgetool.errors import ConfigError
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.rtx.capability import OFFERED, wanted
from edgetool_tensorrt.rtx.cards import Card, find_cards
from edgetool_tensorrt.rtx.toolkit import INSTALL, MODULE, installed_version

_ELSEWHERE = "copy the bundle to the PC that has the GPU and run `edgetool validate BUNDLE` there"


def availability(options: TensorRtOptions, site: Site) -> Availability:
    """What `probe` answers: building needs the package alone, running needs one of the GPUs that are built for."""
    version = installed_version()
    if version is None or importlib.util.find_spec(MODULE) is None:
        return Availability(False, False, None, "TensorRT-RTX is not installed", f"{INSTALL} (NVIDIA's own licence)")
    try:
        capabilities = wanted(options, site)
    except ConfigError as error:
        return Availability(False, False, version, error.message, error.hint)
    why_not, fix = _obstacle(find_cards(), capabilities)
    return Availability(
        can_build=True,
        can_run=why_not is None,
        version=version,
        why_not=why_not,
        fix=fix,
        device={"capabilities": list(capabilities)},
    )


def _obstacle(cards: Sequence[Card], capabilities: Sequence[int]) -> tuple[str | None, str | None]:
    """Why an engine for these capabilities cannot run here, and what would help; None and None when it can."""
    wanted_here = " or ".join(map(str, capabilities))
    if not cards:
        return "no RTX GPU here", _ELSEWHERE
    if not any(card.sm in capabilities for card in cards):
        here = ", ".join(f"{card.name} ({card.sm})" for card in cards)
        if not any(card.sm in OFFERED for card in cards):
            return f"TensorRT-RTX does not serve the GPU here: {here}", _ELSEWHERE
        return (
            f"the engine is for compute capability {wanted_here}, the GPU here is {here}",
            f"add it to `capabilities` in [targets.NAME.tensorrt], or {_ELSEWHERE}",
        )
    if importlib.util.find_spec("cuda") is None:
        return "cuda-python is not installed, which running an engine needs", "pip install 'edgetool[cuda]'"
    return None, None
