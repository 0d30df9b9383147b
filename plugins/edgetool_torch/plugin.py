"""Registers the PyTorch importer."""

from __future__ import annotations

from edgetool.plugin import ImporterInfo, hookimpl


@hookimpl
def edgetool_importers() -> list[ImporterInfo]:
    return [
        ImporterInfo(
            name="torch",
            summary="torch.export programs (.pt2), TorchScript, and module:function with weights",
            loader="edgetool_torch.importer:TorchImporter",
            suffixes=(".pt2", ".pt", ".pth", ".ts", ".torchscript"),
            factories=True,
            requires=("torch",),
            extra="torch",
        )
    ]
