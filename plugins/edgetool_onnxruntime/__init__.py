"""ONNX Runtime: the fallback backend, the stand-in in CI, and the reference."""
