"""What is mutated: each kind writes one mutant into an empty folder and names the command that reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import TypeAlias

from tests.robustness.archives import mutated_archive
from tests.robustness.backends import model_for_backends
from tests.robustness.bundles import mutated_bundle, mutated_signature, resealed_bundle
from tests.robustness.documents import mutated_baseline
from tests.robustness.models import broken_bytes, changed_structure, hostile_external_data
from tests.robustness.seeds import Seeds
from tests.robustness.targets import mutated_targets

Command: TypeAlias = tuple[str, ...]
Kind: TypeAlias = Callable[[Random, Seeds, Path], Command]

KINDS: Mapping[str, Kind] = {
    "model-bytes": broken_bytes,
    "model-structure": changed_structure,
    "model-external-data": hostile_external_data,
    "model-backends": model_for_backends,
    "targets": mutated_targets,
    "bundle": mutated_bundle,
    "resealed-bundle": resealed_bundle,
    "archive": mutated_archive,
    "signature": mutated_signature,
    "baseline": mutated_baseline,
}
_SHARES = {
    "model-bytes": 4,
    "model-structure": 7,
    "model-external-data": 2,
    "model-backends": 2,
    "targets": 4,
    "bundle": 1,
    "resealed-bundle": 3,
    "archive": 2,
    "signature": 1,
    "baseline": 1,
}
_TURNS = [name for name, share in _SHARES.items() for _ in range(share)]
_ROUND = tuple(Random(0).sample(_TURNS, len(_TURNS)))


def kind_of(index: int) -> str:
    """Kinds take turns, the large shares more often: any run of mutants has all of them."""
    return _ROUND[index % len(_ROUND)]


def write_mutant(kind: str, *, seed: int, index: int, seeds: Seeds, folder: Path) -> Command:
    """The same arguments give the same bytes, on every machine.

    Returns:
        The command line without `edgetool`, to be run in `folder`.
    """
    return KINDS[kind](Random(f"{seed}/{kind}/{index}"), seeds, folder)
