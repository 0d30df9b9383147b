"""Blame out of what `edgetool blame --json` wrote: the inverse of `Blame.to_json`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetool.blame.findings import Blame, LayerBlame, LayerError
from edgetool.blame.histogram import Histogram
from edgetool.errors import ConfigError


def read_blame(path: Path) -> Blame:
    """The last line of the command's output, or the one object of a file.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").strip()
        try:
            document = json.loads(lines)
        except ValueError:
            document = json.loads(lines.splitlines()[-1])
        return blame_from(document)
    except OSError as error:
        raise _unusable(path, error.strerror or "it cannot be read") from error
    except KeyError as error:
        raise _unusable(path, f"it has no {error}") from error
    except (ValueError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise _unusable(path, f"{type(error).__name__}: {str(error)[:100]}") from error


def _unusable(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        "blame-invalid",
        f"this is not what edgetool blame writes: {reason}",
        where=str(path),
        hint="edgetool blame --target NAME --json > blame.json",
    )


def blame_from(document: Mapping[str, Any]) -> Blame:
    """Raises KeyError and TypeError where it is something else."""
    return Blame(
        layers=tuple(_layer(row) for row in document["layers"]),
        samples=document["samples"],
        outputs_db=_decibels(document["outputs_db"]),
        unmatched=document["unmatched"],
    )


def _layer(row: Mapping[str, Any]) -> LayerBlame:
    error = LayerError(
        alone=_decibels(row["alone_db"]),
        weights_only=row["weights_only_db"],
        cumulative=_decibels(row["cumulative_db"]),
        output=row["output_db"],
        cosine=math.nan if row["cosine"] is None else row["cosine"],
    )
    return LayerBlame(
        layer=row["layer"],
        op_type=row["op_type"],
        tensor=row["tensor"],
        error=error,
        cause=row["cause"],
        fix=row["fix"],
        weights=_histogram(row["weights"]),
        activations=_histogram(row["activations"]),
    )


def _histogram(row: Mapping[str, Any] | None) -> Histogram | None:
    return Histogram(**{**row, "counts": tuple(row["counts"])}) if row else None


def _decibels(value: float | None) -> float:
    """What differs nowhere has infinitely many, which JSON cannot say."""
    return math.inf if value is None else float(value)
