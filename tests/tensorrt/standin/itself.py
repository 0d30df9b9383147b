"""The device as its own programs see it: what it is, what it remembers, and how it speaks."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.tensorrt.standin.faults import Faults, read_faults


class TrtexecError(Exception):
    """The program gives up, as the real one does: with a line in its log and the verdict FAILED."""


@dataclass(frozen=True)
class Itself:
    """One device.

    Attributes:
        tensorrt: major, minor, patch.
        build: the fourth number.
        taken: options that its trtexec takes; `listed`: those in its help.
    """

    folder: Path
    tensorrt: tuple[int, int, int]
    build: int
    sm: int
    gpu: str
    memory: int
    driver: str
    taken: frozenset[str]
    listed: tuple[str, ...]
    faults: Faults

    @property
    def banner(self) -> str:
        """`v8502` before TensorRT 10, `v100300` from there on; the build number since 10.4."""
        major, minor, patch = self.tensorrt
        number = f"{major}{minor}{patch:02}" if major < 10 else f"{major}{minor:02}{patch:02}"
        text = f"[TensorRT {self.faults.banner or f'v{number}'}]"
        return f"{text} [b{self.build}]" if self.tensorrt >= (10, 4, 0) else text

    def remember_call(self, program: str, arguments: Sequence[str]) -> None:
        with (self.folder / "calls.jsonl").open("a") as log:
            log.write(json.dumps([program, *arguments]) + "\n")

    def model_of(self, engine: bytes) -> Path:
        """Where the ONNX is kept that an engine of this device came from, if it did."""
        return self.folder / "state" / f"{hashlib.sha256(engine).hexdigest()}.onnx"

    def version_of(self, engine: bytes) -> Path:
        """Where the version is kept that built an engine."""
        return self.model_of(engine).with_suffix(".version")


def myself() -> Itself:
    """The device whose program this is."""
    folder = Path(os.environ["STANDIN_DEVICE"])
    facts = json.loads((folder / "device.json").read_text())
    return Itself(
        folder=folder,
        tensorrt=tuple(facts["tensorrt"]),
        build=facts["build"],
        sm=facts["sm"],
        gpu=facts["gpu"],
        memory=facts["memory"],
        driver=facts["driver"],
        taken=frozenset(facts["taken"]),
        listed=tuple(facts["listed"]),
        faults=read_faults(folder / "faults.toml"),
    )


def say(severity: str, text: str) -> None:
    """One line of the log: `I` goes to stdout, `W` and `E` go to stderr, at once."""
    stream = sys.stdout if severity == "I" else sys.stderr
    stream.write(f"[{time.strftime('%m/%d/%Y-%H:%M:%S')}] [{severity}] {text}\n")
    stream.flush()
