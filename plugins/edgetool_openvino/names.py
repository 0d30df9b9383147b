"""Names that OpenVINO makes up hold a counter of the whole process; here they are told and counted anew."""

from __future__ import annotations

import re
from collections.abc import Collection

_NUMBERED = re.compile(r"(?P<stem>(?P<kind>[A-Za-z]\w*?)_\d+)(?P<rest>([./].*)?)")


def stable_name(name: str, number: int, *, known: Collection[str] = ()) -> str:
    """`Constant_8812` -> `Constant#3`; names that are `known`, or derived from such, stay as they are.

    Args:
        name: of an operation.
        number: the operation's place in its graph.
        known: the names that the model gives.
    """
    made_up = _NUMBERED.fullmatch(name)
    if made_up is None or made_up["stem"] in known:
        return name
    return f"{made_up['kind']}#{number}{made_up['rest']}"
