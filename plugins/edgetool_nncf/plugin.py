"""Registers NNCF's quantizer."""

from __future__ import annotations

from edgetool.plugin import PassInfo, hookimpl


@hookimpl
def edgetool_passes() -> list[PassInfo]:
    return [
        PassInfo(
            name="nncf-quantize",
            summary="NNCF's int8 quantizer; its placement suits runtimes that fuse from the inputs alone",
            loader="edgetool_nncf.quantize:NncfQuantize",
            requires=("nncf",),
            extra="nncf",
        )
    ]
