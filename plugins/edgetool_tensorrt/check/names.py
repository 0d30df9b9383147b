"""Names of inputs and outputs that a command line cannot carry."""

from __future__ import annotations

from collections.abc import Iterator

from edgetool_tensorrt.check.finding import Finding, refused
from edgetool_tensorrt.check.subject import Subject

_BY_TRTEXEC = ("ssh", "kit")


def check_names(subject: Subject) -> Iterator[Finding]:
    """Refuse them where trtexec builds or runs the engine; names inside of the network do not matter."""
    from edgetool_tensorrt.trtexec import safe_name

    if subject.kind not in _BY_TRTEXEC:
        return
    signature = subject.model.signature
    unsafe = [spec.name for spec in (*signature.inputs, *signature.outputs) if not safe_name(spec.name)]
    if unsafe:
        yield refused(
            f"trtexec's command line cannot carry the names {', '.join(map(repr, unsafe))}",
            fix="rename these inputs and outputs in the source model: letters, digits and _ . / : - are safe",
        )
