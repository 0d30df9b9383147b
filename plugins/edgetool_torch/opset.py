"""Brings a graph to the opset that was asked for: exporters give another one without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetool.errors import ConfigError
from edgetool_torch.routes import RejectedError

if TYPE_CHECKING:
    import onnx_ir as ir


def check_opset(wanted: int) -> None:
    """The opset exists.

    Raises:
        ConfigError: `unknown-opset`.
    """
    import onnx.defs

    highest = onnx.defs.onnx_opset_version()
    if wanted > highest:
        raise ConfigError(
            "unknown-opset",
            f"there is no opset {wanted}; the installed onnx knows up to {highest}",
            where="[model] opset",
            hint="leave it out, and the importer chooses",
        )


def opset_of(model: ir.Model) -> int:
    """Version of the default operator set that a model imports."""
    return int(model.opset_imports.get("", 0))


def to_opset(model: ir.Model, wanted: int) -> ir.Model:
    """The model in another opset; itself when it is in that one already.

    Raises:
        RejectedError: ONNX's converter cannot get there.
    """
    import onnx_ir as ir
    from onnx.version_converter import convert_version

    got = opset_of(model)
    if got == wanted:
        return model
    try:
        return ir.from_proto(convert_version(ir.to_proto(model), wanted))
    except Exception as error:  # a native converter, on graphs that it may never have seen
        lines = str(error).strip().splitlines()
        reason = lines[-1].rpartition(" failed: ")[2] if lines else type(error).__name__
        raise RejectedError(f"gives opset {got} instead of {wanted}, and converting it fails: {reason}") from error
