"""Which family of processors the target computes on: it decides which int8 kernels are the fast ones."""

from __future__ import annotations

import platform

from edgetool.artifact import Facts

_X86 = ("x86", "amd64", "i386", "i686")


def is_x86(facts: Facts) -> bool:
    """Whether the target computes on x86; what its facts do not say is taken from this machine."""
    arch = facts.get("arch") or platform.machine()
    return str(arch).lower().startswith(_X86)
