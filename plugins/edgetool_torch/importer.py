"""PyTorch -> ONNX, proven against eager at several shapes, with another exporter whenever one gets it wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from edgetool.artifact import Facts, JsonValue
from edgetool.context import ImportContext
from edgetool.importers.base import Importer, ImporterOptions, ImportRequest, ImportResult, Source

if TYPE_CHECKING:
    from edgetool_torch.attempt import Accepted
    from edgetool_torch.eager import Eager


class TorchOptions(ImporterOptions):
    """Options of the PyTorch importer."""

    seed: int = Field(default=0, ge=0, description="Seed of PyTorch's generator while the factory runs.")


class TorchImporter(Importer[TorchOptions]):
    """Reads .pt2, TorchScript, and `module:function` with weights."""

    Options = TorchOptions

    @classmethod
    def tools(cls) -> tuple[str, ...]:
        return ("torch", "onnx", "onnxscript", "onnx-ir", "onnxruntime")

    def convert(self, source: Source, request: ImportRequest, workdir: Path, context: ImportContext) -> ImportResult:
        """Export by the first route whose result equals eager PyTorch at all chosen shapes.

        Raises:
            ConfigError: the declared inputs, outputs or ranges do not fit the network.
            ModelError: the source is unusable or unsafe, or `export-failed`: no route leads to a right model.
        """
        from edgetool.graph import read_model
        from edgetool_torch.attempt import first_right
        from edgetool_torch.eager import Eager
        from edgetool_torch.sources import open_network

        with _torch_settings(threads=context.threads, seed=self.options.seed):
            network = open_network(source, request)
            with network.environment():
                eager = Eager(network, context)
                accepted = first_right(eager, request, workdir, context)
        for note in _notes(accepted, eager):
            context.note(note)
        facts = _facts(accepted, eager, request, self.tools())
        return ImportResult(read_model(accepted.path, network.dims), facts)


@contextmanager
def _torch_settings(*, threads: int, seed: int) -> Iterator[None]:
    """Threads, gradients and random numbers as the import wants them, and afterwards as they were."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)


def _notes(accepted: Accepted, eager: Eager) -> Iterator[str]:
    from edgetool_torch.reasons import worded

    for row in accepted.rejected:
        yield f"{row.route} was rejected: {row.reason}"
    if accepted.rejected:
        yield f"converted through {accepted.route}, equal to eager PyTorch at every size tried"
    if accepted.exported_opset != accepted.opset:
        yield f"the exporter gave opset {accepted.exported_opset}; converted to {accepted.opset}"
    if accepted.assumptions:
        yield f"{', '.join(accepted.assumptions)} decided as for the example; proven at more sizes for that reason"
    if eager.refused:
        yield f"the network itself refuses {'; '.join(map(worded, eager.refused))}: not compared there"


def _facts(accepted: Accepted, eager: Eager, request: ImportRequest, tools: tuple[str, ...]) -> Facts:
    from edgetool_torch.feeds import unique

    proven = unique([row.sizes for row in accepted.expectations])
    return {
        "form": eager.network.form,
        "route": accepted.route,
        "rejected": [row.to_json() for row in accepted.rejected],
        "assumptions": list(accepted.assumptions),
        "opset": {"asked": request.opset, "exported": accepted.exported_opset, "got": accepted.opset},
        "proof": {
            "sizes": [dict(sizes) for sizes in proven],
            "refused": [dict(sizes) for sizes in eager.refused],
            "feeds": accepted.proof.feeds,
            "samples": eager.uses_samples,
            "max_abs": accepted.proof.max_abs,
            "max_relative": accepted.proof.max_relative,
        },
        "tools": _versions(tools),
    }


def _versions(tools: tuple[str, ...]) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {}
    for name in tools:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
