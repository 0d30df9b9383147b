"""ONNX files: loading them safely, saving, signature, digest and inspection. Importing it loads no onnx."""

from edgetool.graph.check import check
from edgetool.graph.files import digest, files
from edgetool.graph.inspection import Inspection, inspect
from edgetool.graph.load import load
from edgetool.graph.save import save
from edgetool.graph.signature import read_model, read_signature
from edgetool.graph.walk import node_label

__all__ = [
    "Inspection",
    "check",
    "digest",
    "files",
    "inspect",
    "load",
    "node_label",
    "read_model",
    "read_signature",
    "save",
]
