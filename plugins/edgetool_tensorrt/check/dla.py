"""The deep learning accelerator: whether the target has one, and which nodes it leaves to the GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from edgetool.backends import Legalization
from edgetool.errors import ModelError
from edgetool_tensorrt import dla
from edgetool_tensorrt.check.dla_nodes import computes, limits, reason_off_dla
from edgetool_tensorrt.check.dla_parts import count_parts
from edgetool_tensorrt.check.finding import Finding, refused, warned
from edgetool_tensorrt.check.issues import issues_of
from edgetool_tensorrt.check.subject import Subject
from edgetool_tensorrt.version import Version

Elsewhere: TypeAlias = Mapping[str, str]
"""Label of a node -> why the DLA does not run it."""

_REMOVE = "remove `dla_core` from [targets.NAME.tensorrt]"
_BACK_SINCE = Version(11, 4, 1)
"""Documentation of TensorRT 11.4.1: working with DLA."""
_NONE: Elsewhere = {}


def check_dla(subject: Subject) -> tuple[Elsewhere, tuple[Finding, ...]]:
    """Where the nodes go that the DLA does not run, and what keeps the network from being built for it.

    Where the target has no DLA, or its shapes are not fixed, nothing is said about single nodes.
    """
    if subject.options.dla_core is None:
        return _NONE, ()
    found = (*_target(subject), *_dynamic(subject))
    if any(finding.refuses for finding in found):
        return _NONE, found
    elsewhere = {
        row.label: reason
        for row in subject.rows
        if row.owner == row.label and (reason := reason_off_dla(row, subject)) is not None
    }
    return elsewhere, (*found, *_scales(subject), *_fallback(subject, elsewhere))


def _target(subject: Subject) -> Iterator[Finding]:
    """A DLA that is not there. Chips and releases without one are known issues, and told as such."""
    core, cores = subject.options.dla_core, subject.facts.get("dla_cores")
    if subject.is_rtx:
        yield refused("desktop GPUs have no DLA", fix=_REMOVE)
    elif cores == 0 and not any(issue.dla and issue.severity == "refuse" for issue in issues_of(subject)):
        yield refused("the target has no DLA", fix=f"{_REMOVE}, or correct `dla_cores` in [targets.NAME.facts]")
    elif isinstance(cores, int) and core is not None and 0 < cores <= core:
        yield refused(
            f"the target has DLA cores 0 to {cores - 1}, and `dla_core` is {core}",
            fix=f"set `dla_core` below {cores} in [targets.NAME.tensorrt]",
        )
    elif subject.version is not None and subject.version >= _BACK_SINCE:
        yield warned(
            f"TensorRT has a DLA again since {_BACK_SINCE}, but on AGX Orin only",
            fix=f"if this is another module, {_REMOVE}",
        )


def _dynamic(subject: Subject) -> Iterator[Finding]:
    signature = subject.model.signature
    free = [name for name in signature.symbols if name in signature.dims and not _is_fixed(name, subject)]
    if free:
        sizes = {name: signature.dims[name].opt for name in signature.symbols if name in signature.dims}
        yield refused(
            f"the DLA takes fixed shapes only, and {', '.join(map(repr, free))} may vary",
            fix="fix them: `specialize` takes the sizes to tune for",
            cure=Legalization("specialize", {"dims": dict(sizes)}),
        )


def _is_fixed(name: str, subject: Subject) -> bool:
    size = subject.model.signature.dims[name]
    return size.min == size.max


def _scales(subject: Subject) -> Iterator[Finding]:
    """Int8 whose scales the calibration cache of older releases cannot hold, or would lack."""
    if not (subject.is_int8 and subject.version is not None and dla.wants_calibration(subject.version)):
        return
    try:
        dla.require_lowerable(subject.model.path)
    except ModelError as error:
        yield refused(error.message, fix=error.hint or _REMOVE)


def _fallback(subject: Subject, elsewhere: Elsewhere) -> Iterator[Finding]:
    """What follows from the nodes that do not run on the DLA."""
    if not elsewhere:
        return
    if not subject.options.gpu_fallback:
        nodes: dict[str, list[str]] = {}
        for label, reason in elsewhere.items():
            nodes.setdefault(reason, []).append(label)
        for reason, labels in nodes.items():
            yield refused(
                f"the DLA does not run these nodes, and `gpu_fallback` is off: {reason}",
                labels,
                fix="set `gpu_fallback = true` in [targets.NAME.tensorrt], or replace these operators",
            )
        return
    if all(row.owner in elsewhere for row in subject.rows if computes(row)):
        first = next(iter(elsewhere.values()))
        yield refused(f"the DLA runs no node of this model, the first because {first}", elsewhere, fix=_REMOVE)
        return
    parts = count_parts(subject, elsewhere)
    most = limits().loadables
    if parts > most:
        yield refused(
            f"the network falls into {parts} parts for the DLA, and a core loads {most}",
            elsewhere,
            fix=f"replace the operators that it leaves to the GPU, or {_REMOVE}",
        )
    elif parts > 1:
        yield warned(
            f"the network falls into {parts} parts for the DLA: each change to the GPU and back costs time",
            elsewhere,
            fix="compare with the GPU alone; replace the operators that the DLA leaves out",
        )
