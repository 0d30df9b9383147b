"""Licences as build systems state them: SPDX expressions of identifiers, AND and OR."""

from __future__ import annotations

import re

from edgetool.errors import ModelError

_TOKEN = re.compile(r"\(|\)|[A-Za-z0-9][A-Za-z0-9.+-]*")
_OPERATORS = ("AND", "OR")


def license_expression(text: str) -> str:
    """The same with one space between words, where every word is harmless.

    Raises:
        ModelError: `license-unsuitable`.
    """
    spaced = text.replace("(", " ( ").replace(")", " ) ").split()
    words = [token for token in spaced if token not in ("(", ")")]
    known = all(_TOKEN.fullmatch(token) for token in spaced) and "WITH" not in words
    in_turn = len(words) % 2 == 1 and all((word in _OPERATORS) == bool(index % 2) for index, word in enumerate(words))
    if not known or not in_turn or spaced.count("(") != spaced.count(")"):
        raise ModelError(
            "license-unsuitable",
            f"{text!r:.80} is no licence that a recipe can state",
            hint="give an SPDX expression of identifiers, AND and OR: `license` in [model], or --option "
            "FORMAT.license=Apache-2.0",
        )
    return " ".join(spaced).replace("( ", "(").replace(" )", ")")


def own_licenses(expression: str) -> tuple[str, ...]:
    """Identifiers that no list knows, so that a recipe must say where their text is."""
    return tuple(word for word in re.findall(r"[A-Za-z0-9.+-]+", expression) if word.startswith("LicenseRef-"))
