"""The whole check of a foreign model: what loading asks, the weights, and onnx.checker's opinion."""

from __future__ import annotations

import re
from pathlib import Path

from edgetool.errors import ModelError
from edgetool.graph.load import load
from edgetool.graph.weights import check_weights

_NODE = re.compile(r"Bad node spec for node\. Name: (\S*) OpType: (\S+)")


def check(path: Path) -> None:
    """Refuse a model that is not sound through and through; reads every weight once.

    Raises:
        ConfigError: `model-not-found`.
        ModelError: as `load` and `check_weights`, and `invalid-model` for what onnx.checker finds: wrong attributes,
            wrong numbers of inputs, missing types.
    """
    model = load(path, weights=False)
    check_weights(model, path.parent, where=str(path))
    del model
    check_proto(path, where=str(path))


def check_proto(path: Path, *, where: str) -> None:
    """Ask onnx.checker, by path: it can then read models of any size.

    Args:
        path: the file to read.
        where: the file to speak of.

    Raises:
        ModelError: `invalid-model`.
    """
    import onnx.checker

    try:
        onnx.checker.check_model(str(path))
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:  # what the C++ side raises varies
        raise ModelError(
            "invalid-model", _first_sentence(str(error)), where=where, hint="repair the export of this node"
        ) from error


def _first_sentence(text: str) -> str:
    """onnx.checker's message in one line, with the node's name if it gives one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    node = _NODE.search(text)
    head = lines[0].rstrip(".:") if lines else "onnx.checker refused it"
    return f"node {node[1] or node[2]}: {head}" if node else head
