"""Which builder serves a target, and why."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from edgetool.backends import Site
from edgetool_tensorrt.options import TensorRtOptions

Kind: TypeAlias = Literal["rtx", "local", "ssh", "kit"]
KINDS: tuple[Kind, ...] = get_args(Kind)

JETSON_SM = frozenset({53, 62, 72, 87, 101, 110})
"""Compute capabilities of boards: TensorRT-RTX does not serve them."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A builder, and one sentence on why it is this one."""

    kind: Kind
    why: str


def choose(site: Site, options: TensorRtOptions) -> Choice:
    """The builder that the target names, else the first that can serve it.

    A host means ssh; without one an installed TensorRT builds for the machine that it runs on, TensorRT-RTX builds
    for desktop GPUs, and everything else is left to the device as a kit.
    """
    if site.builder in KINDS:
        return Choice(site.builder, "the target names it")
    if site.host:
        return Choice("ssh", f"the target names the host {site.host}")
    sm = site.facts.get("sm")
    if site.facts.get("jetpack") is None and sm not in JETSON_SM:
        if importlib.util.find_spec("tensorrt") is not None:
            return Choice("local", "TensorRT is installed here")
        return Choice("rtx", "TensorRT-RTX builds for desktop GPUs, and needs none")
    if importlib.util.find_spec("tensorrt") is not None and _on_jetson():
        return Choice("local", "TensorRT is installed on this board")
    return Choice("kit", "no host is named, so the device builds the engine by the kit's script")


def _on_jetson() -> bool:
    from pathlib import Path

    return Path("/etc/nv_tegra_release").exists()
