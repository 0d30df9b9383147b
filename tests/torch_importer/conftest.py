"""Networks that exporters are known to get wrong, and a way to import them."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import pytest

from edgetool.context import ImportContext
from edgetool.importers.base import ImportRequest, ImportResult, Source
from edgetool.signature import DimRange, TensorSpec
from edgetool_onnxruntime.reference import open_onnx
from edgetool_torch.importer import TorchImporter, TorchOptions

ROWS = {"x": ("float32", ["batch", 4])}

Infer = Callable[[ImportResult, Mapping[str, Any]], Mapping[str, Any]]


@dataclass
class Workbench:
    """A project folder with the user's module `nets.py`, and a work directory."""

    root: Path
    notes: list[str] = field(default_factory=list)
    samples: Any = None
    runs: int = 0

    def write(self, code: str, name: str = "nets.py") -> None:
        (self.root / name).write_text("import torch\nfrom torch import nn\n\n" + code)

    def rewrite(self, name: str, changes: Mapping[str, Callable[[bytes], bytes]]) -> None:
        """Change members of an archive; they are named without its top folder. Members that are not there are added."""
        path = self.root / name
        with zipfile.ZipFile(path) as archive:
            members = {member: archive.read(member) for member in archive.namelist()}
        top = next(iter(members)).partition("/")[0]
        for inner, change in changes.items():
            members[f"{top}/{inner}"] = change(members.get(f"{top}/{inner}", b""))
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)

    def request(
        self,
        inputs: Mapping[str, tuple[str, list[int | str]]],
        dims: Mapping[str, tuple[int, int, int]] | None = None,
        **more: Any,
    ) -> ImportRequest:
        specs = tuple(TensorSpec(name, dtype, tuple(shape)) for name, (dtype, shape) in inputs.items())
        return ImportRequest(specs, dims={name: DimRange(*row) for name, row in (dims or {}).items()}, **more)

    def source(self, text: str, *, weights: str | None = None, trusted: bool = False) -> Source:
        is_factory = ":" in text
        return Source(
            text=text,
            path=None if is_factory else self.root / text,
            factory=text if is_factory else None,
            weights=self.root / weights if weights else None,
            root=self.root,
            trusted=trusted,
        )

    def convert(self, text: str, request: ImportRequest, **more: Any) -> ImportResult:
        self.runs += 1
        workdir = self.root / f"work{self.runs}"
        workdir.mkdir()
        context = ImportContext(
            threads=1, open_reference=lambda path: open_onnx(path, 1), samples=self.samples, note=self.notes.append
        )
        return TorchImporter(TorchOptions()).convert(self.source(text, **more), request, workdir, context)


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)


@pytest.fixture
def infer() -> Callable[[ImportResult, Mapping[str, Any]], Mapping[str, Any]]:
    def run(result: ImportResult, feeds: Mapping[str, Any]) -> Mapping[str, Any]:
        with open_onnx(result.model.path, 1) as runner:
            return runner.infer(feeds)

    return run
