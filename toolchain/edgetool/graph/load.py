"""Loading an ONNX file: first what it is, then whether its external data is safe, then its graph; then the weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.errors import ModelError
from edgetool.graph.content import check_content
from edgetool.graph.external_data import extent, is_external, read_bytes
from edgetool.graph.files import damaged, require_onnx
from edgetool.graph.structure import check_structure
from edgetool.graph.text import check_text
from edgetool.graph.walk import tensors

if TYPE_CHECKING:
    import onnx

_PROTOBUF_LIMIT = 2**31 - 1


def load(path: Path, *, weights: bool = True) -> onnx.ModelProto:
    """Read a model; nothing outside its folder is touched, and nothing before it was checked.

    Args:
        path: the .onnx file.
        weights: False leaves external data where it is (inline weights come along in any case).

    Raises:
        ConfigError: `model-not-found`.
        ModelError: what the file is instead of a sound model.
    """
    require_onnx(path)
    model = _parse(path)
    where = str(path)
    check_text(model, where=where)
    check_content(model, where=where)
    external = [
        (named, extent(named, path.parent, where=where)) for named in tensors(model) if is_external(named.tensor)
    ]
    check_structure(model, where=where)
    if weights:
        for named, place in external:
            named.tensor.raw_data = read_bytes(place)
            named.tensor.ClearField("external_data")
            named.tensor.ClearField("data_location")
    return model


def _parse(path: Path) -> onnx.ModelProto:
    if path.stat().st_size > _PROTOBUF_LIMIT:
        raise ModelError(
            "damaged-model", "an ONNX file cannot exceed 2 GiB", where=str(path), hint="export it with external data"
        )
    import google.protobuf.message
    import onnx

    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except google.protobuf.message.DecodeError as error:
        raise damaged(path) from error
    if not model.HasField("graph") or not model.ir_version:
        raise damaged(path)
    return model
