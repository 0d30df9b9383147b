"""The ONNX project's own tests of single operators, through our import, build and validation, for any backend."""
