"""`python -m tests.robustness`: mutated files of all kinds through the commands that read them."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.robustness.campaign import Plan, read_history, run_campaign, try_one
from tests.robustness.kinds import KINDS
from tests.robustness.seeds import BASELINE, Seeds, make_seeds
from tests.robustness.summary import summarise
from tests.robustness.trial import Bounds, Ground, import_everything


def main() -> int:
    options = _parser().parse_args()
    if options.folder is None:
        with tempfile.TemporaryDirectory(prefix="robustness-") as folder:
            return _run(options, Path(folder))
    return _run(options, options.folder.absolute())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.robustness", description=__doc__)
    add = parser.add_argument
    add("--count", type=int, default=500, metavar="N", help="mutants (default: 500)")
    add("--first", type=int, default=0, metavar="N", help="index of the first one")
    add("--seed", type=int, default=1, metavar="N", help="another seed makes other mutants")
    add("--jobs", type=int, default=2, metavar="N", help="mutants side by side (default: 2)")
    add("--folder", type=Path, metavar="DIR", help="keep rows here; a run that was interrupted goes on where it was")
    add("--summary", type=Path, metavar="FILE.json", help="write the counts into this file")
    add("--seconds", type=float, default=60.0, metavar="S", help="most that one mutant may take")
    add("--again", action="store_true", help="with --folder: also those that were sound, for the code is another one")
    add("--kind", choices=KINDS, help="only mutants of this kind")
    add("--index", type=int, metavar="N", help="with --kind: this one, and all that the command says about it")
    return parser


def _run(options: argparse.Namespace, folder: Path) -> int:
    seeds = Seeds(folder / "seeds")
    if not (seeds.folder / BASELINE).exists():
        make_seeds(seeds.folder)
    bounds = Bounds(seconds=options.seconds)
    if options.kind is not None and options.index is not None:
        return _show_one(options, folder, seeds, bounds)
    kinds = frozenset(KINDS if options.kind is None else (options.kind,))
    indices = range(options.first, options.first + options.count)
    plan = Plan(indices, options.seed, kinds=kinds, again=options.again)
    try:
        history = run_campaign(plan, folder=folder, seeds=seeds, jobs=options.jobs, bounds=bounds)
    except KeyboardInterrupt:
        history = read_history(folder)
    summary = summarise(history, seed=options.seed)
    _print(summary)
    if options.summary:
        options.summary.write_text(json.dumps(summary, indent=2) + "\n")
    return 1 if summary["open_defects"] else 0


def _show_one(options: argparse.Namespace, folder: Path, seeds: Seeds, bounds: Bounds) -> int:
    import_everything()
    ground = Ground(Path(tempfile.mkdtemp(prefix="one-", dir=folder)))
    row = try_one(
        options.kind, seed=options.seed, index=options.index, seeds=seeds, ground=ground, bounds=bounds, started=True
    )
    print(f"edgetool {row.command}: {row.outcome}, {row.seconds} s, {row.resident >> 20} MiB: {row.defect or 'sound'}")
    print(ground.output)
    return 1 if row.defect else 0


def _print(summary: dict[str, Any]) -> None:
    for kind, found in summary["kinds"].items():
        shown = ", ".join(f"{outcome} {count}" for outcome, count in list(found["outcomes"].items())[:5])
        print(f"{kind:<20} {found['mutants']:>6}   {shown}")
    for row in summary["open_defects"]:
        print(f"DEFECT: {row['defect']}{'' if row['confirmed'] else ' (only as a fork)'}\n  {row['again']}")
    most = f"at most {summary['slowest_seconds']:.1f} s and {summary['largest_mib']} MiB"
    print(f"{summary['mutants']} mutants, {len(summary['open_defects'])} open defects; {most}")


if __name__ == "__main__":
    sys.exit(main())
