"""The calibration cache: one scale a tensor, as TensorRT's entropy calibrator stores them.

The first line names the TensorRT version and the calibrator, `TRT-8502-EntropyCalibration2`; the DLA takes no other
calibrator. Every further line is `tensor: scale`, the scale being the eight hexadecimal digits of a float32, the sign
first: the step of the integers, which is the largest absolute value over 127 (NVIDIA/TensorRT#625 and #2958; the
Q/DQ translator of NVIDIA/Deep-Learning-Accelerator-SW writes the same).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from edgetool.errors import ModelError
from edgetool_tensorrt.version import Version

CALIBRATION_CACHE = "calib.cache"
"""Its file name."""


def calibration_cache(scales: Mapping[str, float], version: Version, *, where: str) -> bytes:
    """The file's bytes.

    Args:
        scales: by tensor name, in the order of the lines.
        version: of the TensorRT that will read it.
        where: the model's file, for messages.

    Raises:
        ModelError: `unsafe-tensor-name`, for names that would break a line.
    """
    if broken := [name for name in scales if not name.isprintable()]:
        raise ModelError(
            "unsafe-tensor-name",
            f"tensor names that cannot go into a calibration cache: {', '.join(map(repr, broken))}",
            where=where,
            hint="rename them in the source model: letters, digits and _ . / : - are safe",
        )
    lines = [f"TRT-{_spelled(version)}-EntropyCalibration2"]
    lines += [f"{name}: {struct.pack('>f', scale).hex()}" for name, scale in scales.items()]
    return ("\n".join(lines) + "\n").encode()


def _spelled(version: Version) -> str:
    """As trtexec's banner: 8.5.2 is 8502, 10.3.0 is 100300."""
    if version.major < 10:
        return f"{version.major}{version.minor}{version.patch:02}"
    return f"{version.major}{version.minor:02}{version.patch:02}"
