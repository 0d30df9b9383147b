"""Which GPUs TensorRT-RTX builds for, and who serves the others.

A compute capability is written times ten, as CUDA's compilers do: 8.6 is 86. Measured with TensorRT-RTX 1.7.1 on a
machine without a GPU; what it says of itself is asked again by the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edgetool.backends import Site
from edgetool.errors import ConfigError
from edgetool.problem import Problem
from edgetool_tensorrt import knowledge
from edgetool_tensorrt.options import TensorRtOptions

OFFERED: Final = (75, 80, 86, 89, 120, 121)
"""What an RTX engine can be built for."""

_SERVERS: Final[Mapping[int, str]] = {70: "V100", 90: "H100 and H200", 100: "B200", 103: "B300"}


def refusal(sm: int) -> Problem | None:
    """Why no RTX engine can be built for this capability, and which builder serves it; None when one can."""
    if sm in OFFERED:
        return None
    offered = ", ".join(map(str, OFFERED))
    board = next((chip for chip in knowledge.chips() if chip.sm == knowledge.canonical_sm(sm)), None)
    if board is not None:
        return Problem(
            f"TensorRT-RTX does not build for compute capability {sm} (Jetson {board.modules}); it offers {offered}",
            fix='TensorRT serves boards, on the board: kind = "ssh" with `host` in [targets.NAME.builder], or "kit"',
        )
    if sm in _SERVERS:
        return Problem(
            f"TensorRT-RTX does not build for compute capability {sm} ({_SERVERS[sm]}); it offers {offered}",
            fix='TensorRT serves this GPU, on the machine that has it: kind = "local" there, or "ssh" with `host`',
        )
    return Problem(
        f"TensorRT-RTX does not build for compute capability {sm}; it offers {offered}",
        fix="write capabilities times ten, 8.6 as 86; `nvidia-smi --query-gpu=compute_cap --format=csv` tells a card's",
    )


def of(sm: int) -> str:
    """The name that TensorRT-RTX gives a capability, `SM86`.

    Raises:
        ConfigError: `capability-not-served`, with the builder that serves it.
    """
    if problem := refusal(sm):
        raise ConfigError("capability-not-served", problem.reason, where=f"sm {sm}", hint=problem.fix)
    return f"SM{sm}"


def wanted(options: TensorRtOptions, site: Site) -> tuple[int, ...]:
    """The capabilities that the engine has to serve, in ascending order: the option's, else the target's own.

    Raises:
        ConfigError: `no-capability`, or `capability-not-served`.
    """
    sm = site.facts.get("sm")
    asked = options.capabilities or ([sm] if isinstance(sm, int) else [])
    if not asked:
        raise ConfigError(
            "no-capability",
            "the target does not say which GPU the engine is for",
            hint="extend a target such as @nvidia/rtx-ada, set `sm` in [targets.NAME.facts], or `capabilities` in "
            "[targets.NAME.tensorrt]",
        )
    for one in asked:
        of(one)
    return tuple(sorted(set(asked)))
