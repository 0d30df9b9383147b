"""The opset gate: TensorRT's parser reads a model of any opset without complaint, also of one that it cannot know."""

from __future__ import annotations

from collections.abc import Iterator

from edgetool.backends import Legalization
from edgetool_tensorrt import knowledge
from edgetool_tensorrt.check.finding import Finding, refused
from edgetool_tensorrt.check.operators import rtx_max_opset
from edgetool_tensorrt.check.subject import Subject


def check_opset(subject: Subject) -> Iterator[Finding]:
    """Refuse a model, or a local function, that is written in a newer opset than the target reads."""
    newest = newest_opset(subject)
    if newest is None:
        return
    cure = Legalization("convert-opset", {"opset": newest})
    fix = f'put {{ use = "convert-opset", opset = {newest} }} into the recipe'
    if subject.opset > newest:
        yield refused(
            f"opset {subject.opset} is newer than {newest}, the newest that {subject.product} reads", fix=fix, cure=cure
        )
        return
    newer = [row for row in subject.rows if row.opset > newest]
    if newer:
        yield refused(
            f"local functions are written in opset {max(row.opset for row in newer)}, newer than {newest}, the newest "
            f"that {subject.product} reads",
            (row.owner for row in newer),
            fix="export without local functions, or to a lower opset",
        )


def newest_opset(subject: Subject) -> int | None:
    """What the target says of itself, else what is documented of its TensorRT; None when neither is known."""
    stated = subject.facts.get("max_opset")
    if isinstance(stated, int):
        return stated
    if subject.is_rtx:
        return rtx_max_opset()
    return knowledge.max_opset(subject.version) if subject.version else None
