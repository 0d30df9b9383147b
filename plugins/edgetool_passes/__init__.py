"""The passes that edgetool ships: ONNX in, ONNX out."""
