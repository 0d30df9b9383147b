"""`edgetool cache`: what is stored, why a step ran again, what can go, and whether all is whole."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetool.cli.options import Json, Quiet, flag
from edgetool.cli.output import Output
from edgetool.errors import ConfigError, IntegrityError
from edgetool.plain_text import counted

if TYPE_CHECKING:
    from edgetool.engine.cache import Cache

cache = typer.Typer(help="Look into the cache of build steps, and clean it.", no_args_is_help=True)


@cache.command("ls")
def list_entries(json: Json = False, quiet: Quiet = False) -> None:
    """List entries, the newest first."""
    from edgetool.config.units import format_bytes

    store = _open()
    entries = sorted(store.entries(), key=lambda entry: -entry.created)
    rows = [
        {"key": entry.key, "step": entry.step, "size": entry.size, "created": entry.created, "seconds": entry.seconds}
        for entry in entries
    ]
    width = max((len(entry.step) for entry in entries), default=0)
    lines = [
        f"{entry.key[:16]}  {entry.step:<{width}}  {format_bytes(entry.size):>10}  {_age(entry.created)}"
        for entry in entries
    ]
    total = sum(entry.size for entry in entries)
    lines.append(f"{counted(len(entries), 'entry', 'entries')}, {format_bytes(total)}, in {store.root}")
    Output(json, quiet).result({"root": str(store.root), "size": total, "entries": rows}, "\n".join(lines))


@cache.command("why")
def why(
    target: Annotated[str, typer.Argument(help="A target that was built, or the start of a key from `cache ls`.")],
    other: Annotated[str | None, typer.Argument(help="The start of a second key, to compare two entries.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say why the last build of a target ran steps again.

    Lists what differs from the last build that was not the same, step by step.
    """
    from edgetool.engine.history import compare_builds, difference

    store = _open()
    if other is None:
        changes = compare_builds(store, target)
    else:
        first, second = _entry(store, target), _entry(store, other)
        changes = {first.step: difference(first.parts, second.parts)}
    lines = [] if changes else [f"every build of {target} with this cache was the same: nothing to compare"]
    for step, differences in changes.items():
        lines.append(f"{step}: " + ("same key as before" if not differences else "ran, because"))
        lines += [f"  {name}: {before} -> {after}" for name, (before, after) in differences.items()]
    Output(json, quiet).result(
        {"steps": {step: {name: list(pair) for name, pair in found.items()} for step, found in changes.items()}},
        "\n".join(lines),
    )


@cache.command("gc")
def collect(
    max_size: Annotated[
        str, typer.Option("--max-size", metavar="SIZE", help='Keep at most this much, e.g. "1GiB".')
    ] = "5GiB",
    max_age: Annotated[
        str | None, typer.Option("--max-age", metavar="TIME", help='Remove what was unused longer, e.g. "720h".')
    ] = None,
    damaged: Annotated[bool, flag("--damaged", help="Remove damaged entries too; reads every file.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Remove what was longest unused, and what killed builds left.

    Old logs go, too. What a running build uses stays.
    """
    from edgetool.config.units import byte_count, format_bytes, seconds
    from edgetool.engine.collect import collect_garbage

    try:
        limit = byte_count(max_size)
        age = seconds(max_age) if max_age else None
    except ValueError as error:
        raise ConfigError("wrong-quantity", str(error), where="--max-size, --max-age") from error
    removed = collect_garbage(_open(), max_size=limit, max_age=age, damaged=damaged)
    Output(json, quiet).result(
        {"entries": removed.entries, "bytes": removed.bytes, "workspaces": removed.workspaces},
        f"removed {removed.entries} entries, {format_bytes(removed.bytes)}; {removed.workspaces} abandoned workspaces",
    )


@cache.command("verify")
def verify(json: Json = False, quiet: Quiet = False) -> None:
    """Read every file of every entry and compare it with its digest."""
    from edgetool.engine.collect import unreadable

    store = _open()
    bad = {entry.key: store.check(entry) for entry in store.entries()}
    bad = {key: files for key, files in bad.items() if files}
    broken = unreadable(store)
    if bad or broken:
        names = [f"{key[:16]}: {', '.join(files)}" for key, files in bad.items()] + broken
        raise IntegrityError(
            "cache-damaged",
            f"{len(names)} damaged entries: " + "; ".join(names[:5]),
            where=str(store.root),
            hint="edgetool cache gc --damaged",
        )
    count = sum(1 for _ in store.entries())
    Output(json, quiet).result({"entries": count, "damaged": 0}, f"{count} entries, all whole")


def _open() -> Cache:
    from edgetool.engine.cache import Cache, default_root

    return Cache(default_root())


def _entry(store: Cache, start: str) -> Any:
    found = [entry for entry in store.entries() if entry.key.startswith(start)]
    if len(found) != 1:
        raise ConfigError(
            "unknown-cache-key",
            f"{len(found)} entries begin with {start!r}",
            where=str(store.root),
            hint="edgetool cache ls",
        )
    return found[0]


def _age(created: float) -> str:
    age = max(1.0, time.time() - created)
    if age < 60:
        return f"{age:.0f} s ago"
    minutes = age / 60
    return f"{minutes:.0f} min ago" if minutes < 120 else f"{minutes / 60:.0f} h ago"
