"""Importer for ONNX files."""
