"""Bundles that carry a kit, and a device's shell to run it in."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgetool.artifact import Model
from edgetool.backends import BuildContext, Site
from edgetool.bundle.golden import write_golden
from edgetool.bundle.manifest import Manifest, RuntimeRecord, SourceRecord, StepRecord, TargetRecord
from edgetool.bundle.write import Contents, write_bundle
from edgetool_tensorrt import kit
from edgetool_tensorrt.options import TensorRtOptions
from tests.tensorrt.standin.device import StandIn

FACTS: dict[str, Any] = {"arch": os.uname().machine, "sm": 86, "tensorrt": "10.3.0"}
STAND_IN = "TensorRT-RTX and ONNX Runtime"


def write_kit_bundle(
    folder: Path, model: Model, *, facts: dict[str, Any] | None = None, options: TensorRtOptions | None = None
) -> Path:
    """Build a kit of a model and write its bundle, as `edgetool build` does without the device."""
    facts = FACTS if facts is None else facts
    options = TensorRtOptions(stand_in=STAND_IN) if options is None else options
    engine_folder, golden = folder / "engine", folder / "golden"
    for path in (engine_folder, golden):
        path.mkdir(parents=True)
    engine = kit.build(model, engine_folder, options, Site("kit", facts=facts), BuildContext(threads=1))
    feeds = _feeds(model)
    write_golden(golden, feeds, _reference(model.path, feeds), made_by="reference", min_cosine=0.999)
    manifest = Manifest(
        name="net",
        version="1.0.0",
        created=None,
        target=TargetRecord("board", facts, "any"),
        runtime=RuntimeRecord("tensorrt", facts["tensorrt"], engine.facts),
        backend=StepRecord("tensorrt", options.model_dump(mode="json")),
        entry=f"model/{engine.entry}",
        precision=engine.precision,
        lowerings=(),
        passes=(),
        signature=model.signature,
        preprocessing=None,
        source=SourceRecord("net.onnx", "ab" * 32, "onnx"),
        calibration=None,
        evaluation=None,
        validation={"status": "unverified"},
        verdicts=(),
        tools={},
    )
    contents = Contents(
        manifest=manifest, engine=engine_folder, golden=golden, validation={"status": "unverified"}, measurements={}
    )
    return write_bundle(folder / "net.edgebundle", contents).path


def _feeds(model: Model) -> dict[str, np.ndarray[Any, Any]]:
    generator = np.random.default_rng(0)
    shapes = model.signature.input_shapes("opt")
    return {
        spec.name: generator.normal(size=shapes[spec.name]).astype(spec.dtype)
        if spec.dtype.startswith("float")
        else generator.integers(0, 4, size=shapes[spec.name]).astype(spec.dtype)
        for spec in model.signature.inputs
    }


def _reference(path: Path, feeds: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


PROGRAMS = (
    "awk", "cat", "cp", "cut", "df", "dirname", "du", "find", "flock", "grep", "head", "mkdir", "mv", "od", "paste",
    "readlink", "rm", "sed", "sh", "sha256sum", "sleep", "sort", "sync", "tail", "tr", "uname", "wc",
)  # fmt: skip
"""Everything that the script may call on a device, besides trtexec; openssl for signatures."""


@dataclass(frozen=True)
class KitDevice:
    """A device with a kit on it.

    Attributes:
        stand_in: its trtexec and nvidia-smi.
        programs: folder with all other programs that it has.
        shell: what runs the script.
        bundle: the kit's bundle.
        output: where the engine goes.
    """

    stand_in: StandIn
    programs: Path
    shell: tuple[str, ...]
    bundle: Path
    output: Path

    @property
    def script(self) -> Path:
        return self.bundle / "model" / "build-engine.sh"

    def run(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """The script with these arguments, to its end."""
        return subprocess.run(
            self._command(arguments), env=self._environment(environment), capture_output=True, text=True, timeout=120,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """The script with these arguments, while the test goes on; stdout and stderr in one pipe."""
        return subprocess.Popen(
            self._command(arguments), env=self._environment({}), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def build(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run("--output", self.output, *arguments, **environment)

    def check(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run("--check", self.output, *arguments, **environment)

    def record(self) -> dict[str, Any]:
        """engine.json."""
        return dict(json.loads((self.output / "engine.json").read_text()))

    def files(self) -> list[str]:
        """What lies in the output folder, but for the lock."""
        return sorted(path.name for path in self.output.iterdir() if path.name != ".lock")

    def builds(self) -> int:
        """How many engines trtexec has been asked to build."""
        return sum(any(word.startswith("--saveEngine") for word in call) for call in self.stand_in.calls())

    def _command(self, arguments: tuple[str | Path, ...]) -> list[str]:
        return [*self.shell, str(self.script), *map(str, arguments)]

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        return {"PATH": f"{self.stand_in.bin}:{self.programs}", **more}


def link_programs(folder: Path, require: Callable[[str], str], *, busybox: bool) -> Path:
    """A folder that holds the programs of a device and no others: one link each."""
    folder.mkdir()
    applets = subprocess.run([require("busybox"), "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in (*PROGRAMS, "openssl"):
        (folder / name).symlink_to(require("busybox" if busybox and name in applets else name))
    return folder


def error_code(done: subprocess.CompletedProcess[str]) -> str:
    """Of the one error that a script ended with."""
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error[")]
    return line.removeprefix("error[").partition("]")[0]
