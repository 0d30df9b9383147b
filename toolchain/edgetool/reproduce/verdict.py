"""What comes of a second build: reproduced, drifted, different, or not to be proven here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from edgetool.artifact import JsonValue
from edgetool.bundle.provenance import read_statement
from edgetool.bundle.read import Bundle
from edgetool.bundle.verify import MEASUREMENTS
from edgetool.host import read_host
from edgetool.reproduce.causes import Account, Cause, causes, unstable_step
from edgetool.reproduce.files import FileResult, compare_files
from edgetool.reproduce.locked import lock_remark
from edgetool.reproduce.outputs import Agreement, compare_outputs
from edgetool.reproduce.rebuild import NotRebuilt, Rebuilt

SCHEMA_VERSION = 1

Verdict: TypeAlias = Literal["reproduced", "outputs agree", "drift", "differs", "unproven"]

_EXIT: Mapping[Verdict, int] = {"reproduced": 0, "outputs agree": 0, "differs": 7, "drift": 8, "unproven": 9}


@dataclass(frozen=True, slots=True)
class Reproduction:
    """How a bundle and its second build compare.

    Attributes:
        verdict: in a word or two.
        summary: one sentence.
        files: one row a file; empty where there is no second build.
        causes: what the second build was made from, and the first was not.
        outputs: of a builder that does not promise equal bytes: how far the engines are apart.
        unstable: the step that gave another model from equal inputs.
        fix: what would help, where it could not be proven.
        remark: whether edgetool.lock belongs to the bundle.
    """

    verdict: Verdict
    summary: str
    files: tuple[FileResult, ...] = ()
    causes: tuple[Cause, ...] = ()
    outputs: Agreement | None = None
    unstable: str | None = None
    fix: str | None = None
    remark: str | None = None

    @property
    def exit_code(self) -> int:
        return _EXIT[self.verdict]

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "schema_version": SCHEMA_VERSION,
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "summary": self.summary,
            "files": [row.to_json() for row in self.files],
            "causes": [row.to_json() for row in self.causes],
            "outputs": self.outputs.to_json() if self.outputs else None,
            "unstable_step": self.unstable,
            "fix": self.fix,
            "lock": self.remark,
        }


def judge(bundle: Bundle, again: Rebuilt | NotRebuilt, *, root: Path) -> Reproduction:
    """Compare a bundle with its second build.

    Args:
        bundle: the first.
        again: the second, or why there is none.
        root: folder of the project, where edgetool.lock may be.

    Raises:
        IntegrityError: a document in one of them cannot be read.
    """
    found = _judge(bundle, again)
    return replace(found, remark=lock_remark(Account(bundle.manifest, read_statement(bundle)), root))


def _judge(bundle: Bundle, again: Rebuilt | NotRebuilt) -> Reproduction:
    if isinstance(again, NotRebuilt):
        return Reproduction("unproven", f"it cannot be built here: {again.reason}", fix=again.fix)
    files = compare_files(bundle, again.bundle)
    unequal = [row for row in files if row.status != "equal"]
    if not unequal:
        return Reproduction("reproduced", f"all {len(files)} files are equal, byte for byte", files)
    then = Account(bundle.manifest, read_statement(bundle))
    now = Account(again.bundle.manifest, read_statement(again.bundle))
    engine_is_equal = not any(row.role == "model" for row in unequal)
    engine = "the engine is equal, byte for byte, all the same" if engine_is_equal else "the engine differs"
    if found := causes(then, now):
        things = "one thing that" if len(found) == 1 else f"{len(found)} things that"
        verb = "decides" if len(found) == 1 else "decide"
        return Reproduction("drift", f"{things} {verb} the build changed since; {engine}", files, found)
    why_not = again.bundle.manifest.validation.get("why_not") if _ran(bundle) else None
    if why_not and (engine_is_equal or not again.deterministic):
        return Reproduction("unproven", f"{engine}; it cannot run here: {why_not}", files)
    if not again.deterministic:
        return _by_outputs(bundle, again.bundle, files, engine)
    if machine := _machine(bundle):
        return Reproduction("drift", f"it was built on another kind of machine; {engine}", files, machine)
    step = unstable_step(then, now) or (None if engine_is_equal else "build")
    culprit = f"; the first step that gave another result is {step}" if step else ""
    return Reproduction(
        "differs",
        f"{len(unequal)} of {len(files)} files differ, from equal inputs by equal tools; {engine}{culprit}",
        files,
        unstable=step,
    )


def _by_outputs(bundle: Bundle, again: Bundle, files: tuple[FileResult, ...], engine: str) -> Reproduction:
    """The judgement where the builder never promised equal bytes."""
    backend = bundle.manifest.backend.name
    found = compare_outputs(bundle, again)
    if isinstance(found, str):
        summary = f"{engine}, as {backend} may make it, and outputs cannot be compared: {found}"
        return Reproduction("unproven", summary, files)
    reached = f"{found.worst:.6f}, at least {found.min_cosine:g} is asked for"
    if found.holds:
        summary = f"{engine}, as {backend} may make it, and its outputs agree: {reached}"
        return Reproduction("outputs agree", summary, files, outputs=found)
    return Reproduction("differs", f"{engine}, and its outputs do not agree: {reached}", files, outputs=found)


def _ran(bundle: Bundle) -> bool:
    return not bundle.manifest.validation.get("why_not")


def _machine(bundle: Bundle) -> tuple[Cause, ...]:
    """Instruction sets decide which kernels compute the reference and the golden outputs."""
    host = read_host()
    then = _recorded_host(bundle)
    found = []
    if then.get("arch") not in (None, host.arch):
        found.append(Cause("machine", "arch", str(then["arch"]), host.arch))
    isa = then.get("isa")
    if isinstance(isa, list) and set(map(str, isa)) != set(host.isa):
        found.append(Cause("machine", "isa", " ".join(map(str, isa)), " ".join(host.isa)))
    return tuple(found)


def _recorded_host(bundle: Bundle) -> Mapping[str, Any]:
    path = bundle.path / MEASUREMENTS
    if not path.is_file():
        return {}
    try:
        measurements = json.loads(path.read_bytes())
    except (ValueError, RecursionError):  # it is beside the point: nothing is proven by it
        return {}
    host = measurements.get("host") if isinstance(measurements, dict) else None
    return host if isinstance(host, dict) else {}
