"""Weakly typed builds: TensorRT 8, and the DLA before TensorRT 11."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgetool_tensorrt.network import Network


def permit_weakly(trt: Any, config: Any, network: Network, *, dla: bool) -> tuple[str, ...]:
    """Permit what the typed ONNX computes in, and no more; a DLA computes in float16 or int8 in any case.

    Returns:
        Names of the flags that were set.
    """
    permitted = []
    if network.half or dla:
        config.set_flag(trt.BuilderFlag.FP16)
        permitted.append("FP16")
    if network.precision == "int8":
        config.set_flag(trt.BuilderFlag.INT8)
        permitted.append("INT8")
    if network.calibration is not None:
        config.int8_calibrator = _make_calibrator(trt, network.calibration)
    return tuple(permitted)


def _make_calibrator(trt: Any, cache: Path) -> Any:
    """A calibrator that has its cache and no data: TensorRT must not measure scales of its own."""
    scales = cache.read_bytes()

    class FromCache(trt.IInt8EntropyCalibrator2):  # type: ignore[misc] # the base is known at run time only
        def __init__(self) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: list[str]) -> None:
            return None

        def read_calibration_cache(self) -> bytes:
            return scales

        def write_calibration_cache(self, cache: bytes) -> None:
            return None

    return FromCache()
