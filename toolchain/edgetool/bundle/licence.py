"""Tells SPDX licences from other texts: a bill of materials may call only the former by their identifier."""

from __future__ import annotations

import re

from edgetool.artifact import JsonValue

_USUAL = """
0BSD AFL-3.0 AGPL-3.0-only AGPL-3.0-or-later Apache-2.0 Artistic-2.0 BSD-2-Clause BSD-2-Clause-Patent BSD-3-Clause
BSD-3-Clause-Clear BSL-1.0 CC-BY-3.0 CC-BY-4.0 CC-BY-NC-4.0 CC-BY-NC-ND-4.0 CC-BY-NC-SA-4.0 CC-BY-ND-4.0
CC-BY-SA-3.0 CC-BY-SA-4.0 CC0-1.0 CDLA-Permissive-1.0 CDLA-Permissive-2.0 CDLA-Sharing-1.0 ECL-2.0 EPL-1.0 EPL-2.0
EUPL-1.1 EUPL-1.2 GPL-2.0-only GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later ISC LGPL-2.1-only LGPL-2.1-or-later
LGPL-3.0-only LGPL-3.0-or-later MIT MIT-0 MPL-2.0 MS-PL NCSA ODbL-1.0 OSL-3.0 PostgreSQL Python-2.0 Unlicense
UPL-1.0 WTFPL Zlib
"""
KNOWN = frozenset(_USUAL.split())
"""What models and data usually come under; a rarer identifier is written as a name, which is valid, too."""

_WORD = re.compile(r"[A-Za-z0-9.+-]+|[()]|\S")
_OPERATORS = frozenset({"AND", "OR", "(", ")"})


def licences(text: str | None) -> list[JsonValue]:
    """CycloneDX's `licenses` for what the user declared; empty where nothing was."""
    if not text or not text.strip():
        return []
    text = text.strip()
    if text in KNOWN:
        return [{"license": {"id": text, "acknowledgement": "declared"}}]
    words = _WORD.findall(text)
    if len(words) > 1 and all(word in _OPERATORS or word in KNOWN for word in words):
        return [{"expression": text, "acknowledgement": "declared"}]
    return [{"license": {"name": text, "acknowledgement": "declared"}}]
