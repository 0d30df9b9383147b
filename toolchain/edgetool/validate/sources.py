"""Where raw samples come from: folders of arrays or images, one array file, or the user's function."""

from __future__ import annotations

import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from edgetool.config.schema import PreprocessTable
from edgetool.errors import ConfigError
from edgetool.validate.arrays import read_array, read_arrays
from edgetool.validate.images import IMAGE_SUFFIXES, read_image
from edgetool.validate.samples import Array, RawSample
from edgetool.validate.usercode import UserFunction

LABEL_KEYS = ("label", "labels")
"""Array names that hold labels, unless the model has an input of that name."""

_CLASS_PREFIX = re.compile(r"(\d+)[_-]")
_INTEGER = re.compile(r"\d+")

Item = TypeVar("Item")


class Source(ABC):
    """Gives the same raw samples in the same order every time it is drawn from."""

    warnings: tuple[str, ...] = ()

    @abstractmethod
    def draw(self, limit: int | None) -> Iterator[RawSample]:
        """All samples, or `limit` of them spread over the whole."""


class Listed(Source, Generic[Item]):
    """A source that knows its items before it reads any."""

    items: Sequence[Item]

    @abstractmethod
    def read(self, item: Item) -> RawSample:
        """Load one item."""

    def draw(self, limit: int | None) -> Iterator[RawSample]:
        total = len(self.items)
        if limit is None or limit >= total:
            chosen: Sequence[Item] = self.items
        else:  # spread, because folders are often sorted by class
            chosen = [self.items[i * total // limit] for i in range(limit)]
        return (self.read(item) for item in chosen)


@dataclass
class NpzFolder(Listed[Path]):
    """A folder of .npz files, one sample each: arrays by input name, the label in `label` or `labels`."""

    items: Sequence[Path]
    inputs: Sequence[str]
    labels: Mapping[Path, int]

    def read(self, item: Path) -> RawSample:
        arrays, label = _split_label(read_arrays(item), self.inputs)
        return RawSample(arrays, label if label is not None else self.labels.get(item), str(item))


@dataclass
class NpyFolder(Listed[str]):
    """.npy files of one input, or one sub-folder an input whose files belong together by name."""

    items: Sequence[str]
    files: Mapping[str, Mapping[str, Path]]
    labels: Mapping[Path, int]

    def read(self, item: str) -> RawSample:
        paths = {name: files[item] for name, files in self.files.items()}
        first = next(iter(paths.values()))
        return RawSample({name: read_array(path) for name, path in paths.items()}, self.labels.get(first), str(first))


@dataclass
class ImageFolder(Listed[Path]):
    """A folder of pictures for the model's only input."""

    items: Sequence[Path]
    name: str
    preprocess: PreprocessTable
    labels: Mapping[Path, int]

    def read(self, item: Path) -> RawSample:
        return RawSample({self.name: read_image(item, self.preprocess)}, self.labels.get(item), str(item))


class ArrayFile(Listed[int]):
    """One .npz (or .npy, for a single input) whose first axis counts the samples."""

    def __init__(self, path: Path, inputs: Sequence[str]) -> None:
        self._path = path
        if path.suffix.lower() == ".npy":
            arrays: Mapping[str, Array] = {_only_input(inputs, path): read_array(path)}
        else:
            arrays = read_arrays(path)
        self._arrays, self._labels = _split_label(arrays, inputs)
        scalar = [name for name, array in arrays.items() if array.ndim == 0]
        if scalar:
            raise ConfigError(
                "data-no-sample-axis",
                f"{scalar[0]!r} has no axis to count the samples by",
                where=str(path),
                hint="every array of a data file has the samples on its first axis; repeat constant values",
            )
        counts = {name: len(array) for name, array in arrays.items()}
        if len(set(counts.values())) > 1:
            raise ConfigError(
                "data-unequal-counts",
                "arrays differ in their number of samples: " + ", ".join(f"{k} {v}" for k, v in counts.items()),
                where=str(path),
                hint="the first axis of every array, labels included, counts the samples",
            )
        self.items = range(next(iter(counts.values()), 0))

    def read(self, item: int) -> RawSample:
        label = None if self._labels is None else self._labels[item]
        return RawSample({n: a[item] for n, a in self._arrays.items()}, label, f"{self._path}[{item}]")


@dataclass
class FunctionSource(Source):
    """`module:function`: an iterable of feeds, or of (feeds, label) pairs."""

    function: UserFunction

    def draw(self, limit: int | None) -> Iterator[RawSample]:
        for index, item in enumerate(itertools.islice(self.function.iterate(), limit)):
            yield self._raw(item, f"{self.function.spec} sample {index}")

    def _raw(self, item: object, origin: str) -> RawSample:
        import numpy as np

        feeds, label = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
        if not isinstance(feeds, Mapping) or not all(isinstance(name, str) for name in feeds):
            raise ConfigError(
                "bad-data-function",
                f"a sample is {type(item).__name__}, not {{input name: array}} or such a dict with its label",
                where=origin,
                hint="yield {'input name': array}, or ({'input name': array}, label)",
            )
        if isinstance(label, np.ndarray):
            label = label.copy()
        # Copies, because a generator may fill the same buffer again.
        return RawSample({name: np.array(value) for name, value in feeds.items()}, label, origin)


def open_source(path: Path, *, inputs: Sequence[str], preprocess: PreprocessTable | None) -> Source:
    """Find out what lies at a path. Raises ConfigError when it is no data."""
    if path.is_dir():
        return _open_folder(path, inputs, preprocess)
    if path.suffix.lower() in (".npz", ".npy"):
        return ArrayFile(path, inputs)
    raise ConfigError(
        "data-unknown-kind",
        "it is neither a folder, nor .npz, nor .npy",
        where=str(path),
        hint="give a folder of npz, npy or image files, one npz file, or module:function",
    )


def _open_folder(folder: Path, inputs: Sequence[str], preprocess: PreprocessTable | None) -> Source:
    found: dict[str, list[Path]] = {"npz": [], "npy": [], "image": [], "other": []}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            found[_kind(path)].append(path)
    kinds = [kind for kind in ("npz", "npy", "image") if found[kind]]
    if not kinds:
        raise ConfigError(
            "data-empty",
            "the folder holds no samples",
            where=str(folder),
            hint=f"it needs .npz, .npy or image files ({', '.join(sorted(IMAGE_SUFFIXES))})",
        )
    if len(kinds) > 1:
        raise ConfigError(
            "data-mixed-folder",
            f"the folder mixes {' and '.join(f'{len(found[kind])} {kind}' for kind in kinds)} files",
            where=str(folder),
            hint="keep one kind of sample in a folder",
        )
    files = found[kinds[0]]
    labels, warnings = _class_labels(files, folder)
    if found["other"]:
        warnings += (f"{len(found['other'])} files of other kinds were left out, e.g. {found['other'][0].name}",)
    source: Source
    if kinds[0] == "npz":
        source = NpzFolder(files, inputs, labels)
    elif kinds[0] == "npy":
        source = _npy_folder(files, folder, inputs, labels)
    else:
        if preprocess is None:
            raise ConfigError(
                "preprocess-missing",
                "images need [data.preprocess]: nothing says how a picture becomes the model's input",
                where=str(folder),
                hint="declare resize, crop, mean and std as the network was trained with",
            )
        source = ImageFolder(files, _only_input(inputs, folder), preprocess, labels)
    source.warnings = warnings
    return source


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    return "image" if suffix in IMAGE_SUFFIXES else suffix[1:] if suffix in (".npz", ".npy") else "other"


def _npy_folder(files: list[Path], folder: Path, inputs: Sequence[str], labels: Mapping[Path, int]) -> NpyFolder:
    tops = {path.relative_to(folder).parts[0] for path in files}
    if not tops <= set(inputs):
        name = _only_input(inputs, folder)
        return NpyFolder([str(path) for path in files], {name: {str(path): path for path in files}}, labels)
    grouped = {
        name: {str(p.relative_to(folder / name)): p for p in files if (folder / name) in p.parents} for name in inputs
    }
    stems = sorted({stem for members in grouped.values() for stem in members})
    for name, members in grouped.items():
        for stem in stems:
            if stem not in members:
                raise ConfigError(
                    "data-missing-input",
                    f"there is no {name}/{stem} beside the other inputs' files of that name",
                    where=str(folder),
                    hint="each sample has one file of the same name in every input's sub-folder",
                )
    return NpyFolder(stems, grouped, labels)


def _only_input(inputs: Sequence[str], where: Path) -> str:
    if len(inputs) == 1:
        return inputs[0]
    raise ConfigError(
        "data-ambiguous-input",
        f"these files fill one input, the model has {len(inputs)}: {', '.join(inputs)}",
        where=str(where),
        hint="use .npz files with one array an input, or module:function",
    )


def _split_label(arrays: Mapping[str, Array], inputs: Sequence[str]) -> tuple[dict[str, Array], Array | None]:
    keys = [key for key in LABEL_KEYS if key in arrays and key not in inputs]
    rest = {name: array for name, array in arrays.items() if name not in keys}
    return rest, arrays[keys[0]] if keys else None


def _class_labels(files: Sequence[Path], folder: Path) -> tuple[dict[Path, int], tuple[str, ...]]:
    """Class numbers from sub-folders (`7/a.png`) or file names (`7_a.png`); all files have one, or none counts."""
    labels: dict[Path, int] = {}
    for path in files:
        parts = path.relative_to(folder).parts
        if len(parts) > 1 and _INTEGER.fullmatch(parts[0]):
            labels[path] = int(parts[0])
        elif match := _CLASS_PREFIX.match(path.name):
            labels[path] = int(match[1])
    if labels and len(labels) < len(files):
        without = next(path for path in files if path not in labels)
        return {}, (
            f"{len(files) - len(labels)} of {len(files)} files carry no class number, e.g. {without.name}: no labels",
        )
    if len(labels) >= 10 and len(set(labels.values())) == len(labels):
        return labels, ("every file name gives a class of its own: are these class numbers, or sequence numbers?",)
    return labels, ()
