"""The installed `tensorrt` of this machine, from 8.6 to 11: engines for the GPU, and the DLA, that is here.

Unverified on hardware: executed in tests with TensorRT-RTX in TensorRT's place, as far as their interfaces agree, and
held against the lists of what each release has.
"""

from edgetool_tensorrt.local.builder import build

__all__ = ["build"]
