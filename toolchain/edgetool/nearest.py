"""What a user probably meant: the nearest of the names that there are."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, choices: Iterable[str]) -> str | None:
    """`did you mean max_drop?`, or None when nothing is close."""
    import difflib  # only needed once something is wrong

    close = difflib.get_close_matches(word, sorted(choices), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else None


def one_of(word: str, choices: Iterable[str], *, what: str) -> str:
    """The nearest choice, or all of them."""
    known = sorted(choices)
    return did_you_mean(word, known) or (
        f"known {what}: {', '.join(known)}" if known else f"no other {what} are defined"
    )
