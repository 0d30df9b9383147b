"""How much memory a build takes for its model's size: `python benchmarks/memory.py [--size 256MiB] [--recipe fp16]`.

Writes a chain of large matrix products, builds it with an empty cache, and watches every process of the build in
/proc. Shared pages (mapped weights, libraries) are divided among those that share them for the sum (PSS); the peak of
a single process is its largest resident set. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgetool.config.units import byte_count, format_bytes

RECIPES = {
    "float": "",
    "fp16": 'recipe = "fp16"\n',
    "int8": 'recipe = "int8"\n',
    "int8-dynamic": 'recipe = "int8-dynamic"\n',
}
TARGETS = """\
schema = 1
[model]
name = "chain"
source = "model.onnx"
[model.dims.batch]
max = 2
[data]
calibration = "data"
evaluation = "data"
[recipes.fp16]
passes = [{{ use = "simplify" }}, {{ use = "cast-fp16" }}]
[recipes.int8]
passes = [{{ use = "simplify" }}, {{ use = "quantize-static" }}]
[recipes.int8-dynamic]
passes = [{{ use = "simplify" }}, {{ use = "quantize-dynamic" }}]
[targets.here]
backend = "{backend}"
{recipe}"""

FACTOR = 4
ALLOWANCE = 300_000_000
"""What a build may take: so many times the model's size, and this for interpreters and runtimes."""
_EVERY = 0.02  # seconds between two looks
_INLINE_LIMIT = 1_900_000_000  # bytes; a single .onnx file ends at 2 GiB


def write_project(folder: Path, *, size: int, backend: str, recipe: str) -> int:
    """Write a model of about `size` bytes with its data and targets file; returns the bytes of its weights."""
    width = 4096 if size > (1 << 30) else 2048
    count = max(2, round(size / (width * width * 4)))
    generator = np.random.default_rng(0)
    block = generator.normal(size=(width, width), scale=width**-0.5).astype("float32")
    external = count * block.nbytes > _INLINE_LIMIT
    nodes, weights = [], []
    with (folder / "model.bin").open("wb") as sink:
        for index in range(count):
            raw = np.roll(block, index).tobytes()
            tensor = TensorProto(name=f"w{index}", data_type=TensorProto.FLOAT, dims=block.shape)
            if external:
                onnx.external_data_helper.set_external_data(
                    _with_raw(tensor), "model.bin", offset=sink.tell(), length=len(raw)
                )
                tensor.ClearField("raw_data")
                sink.write(raw)
            else:
                tensor.raw_data = raw
            weights.append(tensor)
            nodes += [
                helper.make_node("MatMul", [f"h{index}", f"w{index}"], [f"m{index}"], name=f"matmul{index}"),
                helper.make_node("Relu", [f"m{index}"], [f"h{index + 1}"], name=f"relu{index}"),
            ]
    shape = ["batch", width]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("h0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"h{count}", TensorProto.FLOAT, shape)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    if not external:
        (folder / "model.bin").unlink()
    (folder / "data").mkdir()
    for index in range(4):
        np.savez(folder / "data" / f"{index}.npz", h0=generator.normal(size=(1, width)).astype("float32"))
    (folder / "targets.toml").write_text(TARGETS.format(backend=backend, recipe=RECIPES[recipe]))
    return count * block.nbytes


def _with_raw(tensor: TensorProto) -> TensorProto:
    tensor.raw_data = b"\0"  # the helper refuses tensors without bytes
    return tensor


@dataclass
class Peaks:
    """The largest values that were seen.

    Attributes:
        resident: process id to its name and the bytes of its largest resident set.
        steps: that sum for each step of the build.
        step: the one that runs now.
    """

    resident: dict[int, tuple[str, int]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    step: str = "start"

    @property
    def together(self) -> int:
        return max(self.steps.values())

    def follow(self, events: IO[str]) -> None:
        """Keep up with the build's events."""
        for line in events:
            event = json.loads(line)
            if event["event"] == "step-started":
                self.step = event["step"]
            elif event["event"] == "error":
                print(f"error: {event['message']}", file=sys.stderr)

    def look(self, root: int) -> None:
        """Update from /proc."""
        total = 0
        for pid in _family(root):
            try:
                status = dict(
                    line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
                )
                command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except (OSError, ValueError):
                continue  # it ended meanwhile
            peak = int(status.get("VmHWM", "0 kB").split()[0]) * 1024
            self.resident[pid] = (_role(command, is_root=pid == root), peak)
            total += sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
        self.steps[self.step] = max(self.steps.get(self.step, 0), total)


def _family(root: int) -> Iterator[int]:
    yield root
    try:
        children = Path(f"/proc/{root}/task/{root}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from _family(int(child))


def _role(command: list[bytes], *, is_root: bool) -> str:
    if is_root:
        return "edgetool"
    return "child" if b"edgetool.engine.worker" in command else "other"


def measure(folder: Path) -> tuple[int, Peaks, float]:
    """Build in `folder` with an empty cache; returns the exit code, the peaks and the seconds."""
    command = [sys.executable, "-m", "edgetool", "build", "-t", "here", "--allow-unverified", "--json"]
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "EDGETOOL_CACHE_DIR": str(folder / "cache")},
        stdout=subprocess.PIPE,
        text=True,
    )
    peaks = Peaks()
    assert process.stdout is not None
    threading.Thread(target=peaks.follow, args=[process.stdout], daemon=True).start()
    while process.poll() is None:
        peaks.look(process.pid)
        time.sleep(_EVERY)
    return process.returncode, peaks, time.monotonic() - started


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="256MiB", help="of the model's weights")
    parser.add_argument("--recipe", choices=RECIPES, default="fp16")
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--folder", type=Path, help="where to work; needs about six times the size")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="edgetool-memory-", dir=options.folder) as name:
        folder = Path(name)
        size = write_project(folder, size=byte_count(options.size), backend=options.backend, recipe=options.recipe)
        code, peaks, seconds = measure(folder)
    print(f"model {format_bytes(size)}, {options.backend}, {options.recipe}: exit code {code} after {seconds:.0f} s")
    for pid, (role, peak) in sorted(peaks.resident.items()):
        print(f"  {role:<9} {pid:>8}  peak {format_bytes(peak):>10}  {peak / size:5.2f}x")
    for step, peak in peaks.steps.items():
        print(f"  {step:<18}  peak {format_bytes(peak):>10}  {peak / size:5.2f}x")
    allowed = FACTOR * size + ALLOWANCE
    print(f"  together            peak {format_bytes(peaks.together):>10}  {peaks.together / size:5.2f}x")
    print(f"  allowed             {FACTOR}x + 300 MB = {format_bytes(allowed)}")
    sys.exit(0 if code == 0 and peaks.together <= allowed else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
