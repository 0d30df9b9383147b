"""What TensorRT refuses, as errors that name the nodes and the way out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from edgetool.disk import out_of_memory
from edgetool.errors import EdgetoolError, ModelError
from edgetool_tensorrt.network import Network
from edgetool_tensorrt.rejections import Rejection, describe
from edgetool_tensorrt.trtexec.reasons import find_reason
from edgetool_tensorrt.wording import boiled_down, speaks_of_memory


def parse_failure(rows: Sequence[Rejection], network: Network) -> ModelError:
    """The error for a model that the parser refuses: each reason, and the nodes that it is given for."""
    return _refused(describe(rows) or "it cannot be parsed, for no reason given", network)


def build_failure(errors: Sequence[str], network: Network) -> EdgetoolError:
    """The error for a network that was parsed and cannot be built.

    Args:
        errors: the builder's messages, in order.
        network: for messages.
    """
    text = "\n".join(errors)
    if speaks_of_memory(text):
        return out_of_memory(network.source.path.name)
    found = find_reason(text, passed=False)
    if found is not None and found.code != "trtexec-failed":
        return dataclasses.replace(found, line="").as_error(where=network.source.path.name)
    return _refused(boiled_down(text) or "the build failed for no reason given", network)


def _refused(reason: str, network: Network) -> ModelError:
    return ModelError(
        "unsupported-by-tensorrt",
        reason,
        where=network.source.path.name,
        hint="`edgetool check` lists every node that is refused; `edgetool reduce` finds the smallest part that fails",
    )
