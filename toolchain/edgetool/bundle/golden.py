"""Golden inputs and outputs: raw bytes that a device can feed and compare without Python.

Layout: `index.json` lists, for each case, every tensor's name, dtype, shape and file; a file holds its elements
in C order, little-endian, without a header. Strings are a JSON list.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgetool.bundle.verify import path_fault
from edgetool.errors import IntegrityError
from edgetool.signature import numpy_dtype

if TYPE_CHECKING:
    import numpy as np

    from edgetool.runner import Feeds

INDEX = "index.json"
SCHEMA_VERSION = 1

MIN_COSINE = 0.999
"""What a device's outputs should reach at least; other kernels of the same precision do."""


@dataclass(frozen=True, slots=True, eq=False)
class GoldenCase:
    """One feed and what came out for it."""

    inputs: Feeds
    outputs: Feeds


def write_golden(
    directory: Path,
    feeds: Feeds,
    outputs: Feeds,
    *,
    made_by: Literal["engine", "reference"] = "engine",
    min_cosine: float = MIN_COSINE,
) -> None:
    """Write one case into an existing folder. Raises OSError.

    Args:
        directory: becomes `io/` of the bundle.
        feeds: input name to array.
        outputs: output name to array.
        made_by: `reference` where the engine itself cannot run.
        min_cosine: what a device should reach.
    """
    write_cases(directory, [GoldenCase(feeds, outputs)], made_by=made_by, min_cosine=min_cosine)


def write_cases(
    directory: Path,
    cases: Sequence[GoldenCase],
    *,
    made_by: Literal["engine", "reference"] = "engine",
    min_cosine: float = MIN_COSINE,
) -> None:
    """As `write_golden`, for any number of feeds. Raises OSError."""
    index = {
        "schema_version": SCHEMA_VERSION,
        "made_by": made_by,
        "byte_order": "little",
        "min_cosine": min_cosine,
        "cases": [
            {
                "inputs": _write_tensors(directory, f"case{number}-input", case.inputs),
                "outputs": _write_tensors(directory, f"case{number}-output", case.outputs),
            }
            for number, case in enumerate(cases)
        ],
    }
    (directory / INDEX).write_text(json.dumps(index, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_golden(directory: Path) -> tuple[GoldenCase, ...]:
    """All cases of an `io/` folder. Raises IntegrityError when files and index do not fit together."""
    with _damage_is_told(directory):
        return tuple(
            GoldenCase(_read_tensors(directory, case["inputs"]), _read_tensors(directory, case["outputs"]))
            for case in _index(directory)["cases"]
        )


def read_made_by(directory: Path) -> Any:
    """Who computed the outputs: `engine`, or `reference` where the engine could not run. Raises IntegrityError."""
    with _damage_is_told(directory):
        return _index(directory).get("made_by")


def read_min_cosine(directory: Path) -> float:
    """What a device's outputs should reach. Raises IntegrityError."""
    with _damage_is_told(directory):
        wanted = _index(directory).get("min_cosine", MIN_COSINE)
    if not isinstance(wanted, (int, float)) or not -1 <= wanted <= 1:
        raise IntegrityError(
            "golden-damaged",
            f"the golden outputs cannot be compared: min_cosine is {str(wanted)[:40]!r}",
            where=str(directory / INDEX),
            hint="get the bundle again",
        )
    return float(wanted)


def read_golden_inputs(directory: Path) -> Feeds:
    """The inputs of the first case. Raises IntegrityError."""
    return read_golden(directory)[0].inputs


def _write_tensors(directory: Path, stem: str, tensors: Feeds) -> list[dict[str, object]]:
    import numpy as np

    rows: list[dict[str, object]] = []
    for position, (name, array) in enumerate(tensors.items()):
        if array.dtype == object or array.dtype.kind in "US":
            file, dtype = f"{stem}{position}.json", "string"
            (directory / file).write_text(json.dumps(array.tolist(), ensure_ascii=False) + "\n", encoding="utf-8")
        else:
            file, dtype = f"{stem}{position}.bin", array.dtype.name
            little = array.astype(array.dtype.newbyteorder("<"), copy=False) if array.dtype.kind in "iufc" else array
            (directory / file).write_bytes(np.ascontiguousarray(little).tobytes())
        rows.append({"name": name, "dtype": dtype, "shape": list(array.shape), "file": file})
    return rows


@contextmanager
def _damage_is_told(directory: Path) -> Iterator[None]:
    """What reading something else than this module wrote may raise, as an IntegrityError."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise IntegrityError(
            "golden-damaged",
            f"the golden inputs and outputs cannot be read: {reason}",
            where=str(directory / INDEX),
            hint="edgetool verify BUNDLE tells which file is wrong",
        ) from error


def _index(directory: Path) -> Any:
    return json.loads((directory / INDEX).read_bytes())


def _read_tensors(directory: Path, rows: list[Mapping[str, Any]]) -> Feeds:
    return {str(row["name"]): _read_tensor(directory, row) for row in rows}


def _read_tensor(directory: Path, row: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    file, shape = row["file"], row["shape"]
    if reason := path_fault(file):
        raise ValueError(f"{str(file)[:80]!r}: {reason}")
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError(f"{file}: the shape is not a list of sizes")
    data = (directory / file).read_bytes()
    if row["dtype"] == "string":
        words = np.array(json.loads(data), dtype=object).reshape(shape)
        if not all(isinstance(word, str) for word in words.flat):
            raise ValueError(f"{file}: it does not hold strings")
        return words
    dtype = numpy_dtype(str(row["dtype"]))
    if dtype.hasobject or dtype.itemsize * math.prod(shape) != len(data):
        raise ValueError(f"{file}: {len(data)} bytes are not {row['dtype']}{shape}")
    return np.frombuffer(data, dtype=dtype).reshape(shape)
