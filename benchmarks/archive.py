"""What an archive takes: `python -m benchmarks.archive [NETWORK ...]`.

Real networks are built with recipes that make them small, as ONNX Runtime bundles. Each bundle is archived by edgetool,
as tar.xz and as tar.gz; printed are how many times smaller each is than the float32 ONNX file, what the task's metric
lost, and how many megabytes of the bundle are packed and restored in a second of processor time.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.compression import mnist
from benchmarks.compression.project import Built, Entry, build, float_model, write_project
from edgetool.bundle.archive import write_archive
from edgetool.bundle.archive_restore import restore_bundle
from edgetool.bundle.read import read_bundle

_EXAMPLES = Path(__file__).parents[1] / "examples"
_SIMPLIFY = '{ use = "simplify" }'
_PRUNE = '{ use = "prune-magnitude", sparsity = 0.9, scope = "global" }'


def _palette(**options: object) -> str:
    table = {"use": "cluster-weights", **options}
    return f"{{ {', '.join(f'{name} = {json.dumps(value)}' for name, value in table.items())} }}"


_USUAL = {
    "float": (_SIMPLIFY,),
    "int8": (_SIMPLIFY, '{ use = "quantize-weights" }'),
    "int4": (_SIMPLIFY, '{ use = "quantize-weights", bits = 4 }'),
    "kmeans-4": (_SIMPLIFY, _palette(coding="fixed", bits=4)),
    "palette-4": (_SIMPLIFY, _palette(bits=4)),
    "palette-3": (_SIMPLIFY, _palette(bits=3)),
}
RECIPES = {
    "mnist": {
        **_USUAL,
        "pruned": (_SIMPLIFY, _PRUNE),
        "pruned-palette": (_SIMPLIFY, _PRUNE, _palette(bits=3)),
    },
    "magika": _USUAL,
    "minilm": {**_USUAL, "palette-mixed": (_SIMPLIFY, _palette(bits=3.5, embedding_bits=3))},
}


@dataclass(frozen=True, slots=True)
class Size:
    """What one way to archive a bundle takes: bytes, and seconds of processor time to pack and to restore it."""

    size: int
    pack: float
    restore: float


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.archive", description=__doc__)
    parser.add_argument("networks", nargs="*", choices=tuple(RECIPES), metavar="NETWORK", help=", ".join(RECIPES))
    for network in parser.parse_args(list(arguments)).networks or RECIPES:
        with tempfile.TemporaryDirectory() as scratch:
            _measure(network, Path(scratch))


def _measure(network: str, scratch: Path) -> None:
    entries = [Entry(name, passes) for name, passes in RECIPES[network].items()]
    project = write_project(_example(network), scratch / network, entries)
    before = float_model(project).stat().st_size
    print(f"{network}: float32 ONNX of {before / 1e6:.2f} MB")
    for name, built in build(project, entries).items():
        print(f"  {name:<15} {_row(built, before, scratch)}", flush=True)


def _example(network: str) -> Path:
    if network == "mnist":
        return mnist.prepare()
    importlib.import_module(f"examples.{network}.prepare").main()
    return _EXAMPLES / network


def _row(built: Built, before: int, scratch: Path) -> str:
    if built.bundle is None:
        return f"failed: {built.failure}"
    bundle = sum(path.stat().st_size for path in built.bundle.rglob("*") if path.is_file())
    own = _by_edgetool(built.bundle, scratch)
    xz, gz = (_by_tar(built.bundle, scratch, kind) for kind in ("xz", "gz"))
    return (
        f"archive {own.size / 1e6:8.3f} MB {before / own.size:6.2f} x   tar.xz {before / xz.size:6.2f} x   "
        f"tar.gz {before / gz.size:6.2f} x   {_lost(built.bundle)}   pack {_speed(bundle, own.pack, xz.pack)}, "
        f"restore {_speed(bundle, own.restore, xz.restore)}"
    )


def _speed(size: int, own: float, other: float) -> str:
    return f"{size / 1e6 / own:.0f} MB/s (xz {size / 1e6 / other:.0f})"


def _lost(bundle: Path) -> str:
    score = json.loads((bundle / "manifest.json").read_text())["validation"]["score"]
    return f"lost {score['reference'] - score['engine']:+.4f} of {score['reference']:.4f}"


def _by_edgetool(bundle: Path, scratch: Path) -> Size:
    target = scratch / "own.edgearchive"
    checked = read_bundle(bundle)
    pack = _seconds(lambda: write_archive(checked, target))
    restore = _seconds(lambda: restore_bundle(target, scratch / "restored"))
    return Size(target.stat().st_size, pack, restore)


def _by_tar(bundle: Path, scratch: Path, kind: str) -> Size:
    target = scratch / f"peer.tar.{kind}"

    def pack() -> None:
        with tarfile.open(target, f"w:{kind}") as archive:  # type: ignore[call-overload] # kind is one of two
            archive.add(bundle, bundle.name)

    def restore() -> None:
        with tarfile.open(target) as archive:
            archive.extractall(scratch / "peer", filter="data")

    packed, restored = _seconds(pack), _seconds(restore)
    return Size(target.stat().st_size, packed, restored)


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(sys.argv[1:])
