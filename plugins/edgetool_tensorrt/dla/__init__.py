"""Int8 for the DLA before TensorRT 11: a float network and a calibration cache in place of Q/DQ.

Up to TensorRT 10.7 the DLA takes implicit quantization only. The scales of the typed ONNX move into a calibration
cache, from which trtexec (`--int8 --fp16 --calib`) quantizes the float network anew.
"""

from edgetool_tensorrt.dla.calibration_cache import CALIBRATION_CACHE
from edgetool_tensorrt.dla.lower import Lowered, lower, require_lowerable, wants_calibration

__all__ = ["CALIBRATION_CACHE", "Lowered", "lower", "require_lowerable", "wants_calibration"]
