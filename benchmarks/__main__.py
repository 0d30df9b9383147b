"""`python -m benchmarks [TOPIC ...]`: every topic, or the named ones, each with its ratios."""

from __future__ import annotations

import argparse
import importlib

from benchmarks.timing import print_machine

TOPICS = ("startup", "rebuild", "end_to_end", "probe", "rtx", "int8", "rtx_networks", "memory")
"""Modules of this package with a `main()`, quickest first; `memory` last, because it ends with its exit code."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("topics", nargs="*", choices=TOPICS, metavar="TOPIC", help=f"of {', '.join(TOPICS)}")
    print_machine()
    for topic in parser.parse_args().topics or TOPICS:
        print()
        importlib.import_module(f"benchmarks.{topic}").main()


if __name__ == "__main__":
    main()
