"""One step on a large model, in its own process so that its peak memory can be read: `large_step.py STEP IN OUT`."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path

from edgetool import graph
from edgetool.context import ImportContext, PassContext
from edgetool.engine.memory import peak_resident
from edgetool.importers.base import ImportRequest, Source
from edgetool.signature import DimRange
from edgetool_onnx.importer import OnnxImporter, OnnxOptions
from edgetool_onnxruntime.reference import open_onnx
from edgetool_passes.cast_fp16 import CastFp16, CastFp16Options
from edgetool_passes.simplify import Simplify, SimplifyOptions

DIMS = {"batch": DimRange(1, 1, 2)}
REFERENCE = functools.partial(open_onnx, threads=1)


def main(step: str, source: Path, workdir: Path) -> None:
    workdir.mkdir()
    if step == "import":
        wanted = Source(str(source), source, None, None, source.parent)
        context = ImportContext(threads=1, open_reference=REFERENCE)
        result = OnnxImporter(OnnxOptions()).convert(wanted, ImportRequest(dims=DIMS), workdir, context)
    else:
        chosen = Simplify(SimplifyOptions()) if step == "simplify" else CastFp16(CastFp16Options())
        result = chosen.apply(graph.read_model(source, DIMS), workdir, PassContext(threads=1, open_reference=REFERENCE))
    print(json.dumps({"path": str(result.model.path), "peak": peak_resident(), "facts": dict(result.facts)}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
