"""`python -m benchmarks [TOPIC ...]`: every topic, or the named ones, each with its ratios.

`python -m benchmarks TOPIC --option ...` hands the options to the one topic that is named.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import sys

from benchmarks.timing import print_machine

TOPICS = (
    "startup",
    "rebuild",
    "end_to_end",
    "probe",
    "rtx",
    "int8",
    "tune",
    "rtx_networks",
    "weights",
    "archive",
    "package",
    "verify",
    "validation",
    "compression",
    "memory",
)
"""Modules of this package with a `main()`, quickest first; `memory` last, because it ends with its exit code."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("topics", nargs="*", choices=TOPICS, metavar="TOPIC", help=f"of {', '.join(TOPICS)}")
    named = list(itertools.takewhile(lambda word: not word.startswith("-"), sys.argv[1:]))
    options = sys.argv[1 + len(named) :] if len(named) == 1 else []
    topics = parser.parse_args(named if options else None).topics or TOPICS
    print_machine()
    for topic in topics:
        print()
        module = importlib.import_module(f"benchmarks.{topic}")
        module.main(options) if options else module.main()


if __name__ == "__main__":
    main()
