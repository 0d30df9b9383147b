"""What a `prepare` writes: made once, and whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def up_to_date(outputs: Iterable[Path], code: Iterable[Path | str]) -> bool:
    """make's rule: every output exists and is newer than the code that writes it."""
    newest = max(Path(path).stat().st_mtime for path in code)
    return all(path.exists() and path.stat().st_mtime > newest for path in outputs)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; it becomes `path` when the block ends well. The suffix is kept, as savers look at it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_stem(path.stem + ".part")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
