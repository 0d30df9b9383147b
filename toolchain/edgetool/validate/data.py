"""The user's samples as feeds of a model: opened, checked against the signature, counted and hashed."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgetool.config.schema import PreprocessTable
from edgetool.errors import ConfigError
from edgetool.signature import Signature
from edgetool.validate.census import Census, Counting, Digesting
from edgetool.validate.fit import batch_size, fit_all
from edgetool.validate.opened import record_opened
from edgetool.validate.samples import Sample
from edgetool.validate.sources import FunctionSource, Source, open_source
from edgetool.validate.usercode import UserFunction, is_function_spec

if TYPE_CHECKING:
    from edgetool.runner import Feeds

KEEP_BYTES = 256 << 20
"""What stays in memory after the first reading; of larger data sets the rest is read again each time."""


@dataclass(frozen=True)
class Dataset:
    """Samples that fit a model. Iterating twice gives the same feeds in the same order.

    Attributes:
        spec: as the user wrote it.
        census: what the first reading found.
        read_files: every file that producing the samples opened, absolute; with the user's own modules.
        read_folders: every folder whose contents were listed: a new file in one of them may be a new sample.
    """

    spec: str
    census: Census
    read_files: tuple[Path, ...]
    read_folders: tuple[Path, ...]
    _source: Source = field(repr=False)
    _root: Path = field(repr=False)
    _signature: Signature = field(repr=False)
    _limit: int | None = field(repr=False)
    _fixed: Mapping[str, object] | None = field(repr=False)
    _kept: tuple[Sample, ...] = field(repr=False)

    @property
    def count(self) -> int:
        """How many feeds iteration gives."""
        return self.census.count

    @property
    def digest(self) -> str:
        """sha256 hex over names, dtypes, shapes and bytes of all samples, and their labels."""
        return self.census.digest

    @property
    def labelled(self) -> bool:
        """Every sample has a label."""
        return self.census.labelled

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know about these samples, one sentence each."""
        return self.census.warnings

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Feeds]:
        return (sample.feeds for sample in self.samples())

    def samples(self) -> Iterator[Sample]:
        """Feeds with their labels and origins.

        Raises:
            ConfigError: a full walk gave other samples than the first one did.
        """
        yield from self._kept
        if len(self._kept) == self.count:
            return
        again = Digesting()
        drawn = _draw(self._source, self._signature, self._limit, root=self._root, fixed=self._fixed)
        for position, sample in enumerate(drawn):
            again.add(sample)
            if position >= len(self._kept):
                yield sample
        if again.hexdigest() != self.digest:
            raise ConfigError(
                "data-changed",
                "reading the samples a second time gave other samples",
                where=self.spec,
                hint="seed what is random in the data function, and leave the files alone during a build",
            )


def open_dataset(
    spec: str,
    *,
    root: Path,
    signature: Signature,
    preprocess: PreprocessTable | None = None,
    limit: int | None = None,
    fixed: Mapping[str, object] | None = None,
    role: Literal["calibration", "evaluation"] = "evaluation",
    keep: int | None = None,
) -> Dataset:
    """Open what `[data]` names and read it once, checking every sample.

    Args:
        spec: folder of npz, npy or image files; one .npz (or .npy) with the samples on the first axis;
            or `module:function`. Relative to `root`.
        root: the folder of targets.toml.
        signature: what the samples must fit.
        preprocess: how images become inputs; arrays are taken as they are.
        limit: at most this many feeds, spread over the whole (the first ones, for a function).
        fixed: inputs that `specialize` turned into constants, with their values: samples may still hold them.
        role: calibration data is also warned about when it is scarce.
        keep: bytes up to which the first samples stay in memory; None for `KEEP_BYTES`.

    Raises:
        ConfigError: the data is missing, empty, unreadable, constant, not finite or does not fit; the message
            names the file and the input.
    """
    root = root.resolve()
    with record_opened() as opened:
        inputs = [*(spec.name for spec in signature.inputs), *(fixed or {})]
        source = _open(spec, root=root, inputs=inputs, preprocess=preprocess)
        counting = Counting(spec)
        kept: list[Sample] = []
        size, most = 0, KEEP_BYTES if keep is None else keep
        for sample in _draw(source, signature, limit, root=root, fixed=fixed, note=counting.remark):
            counting.add(sample)
            size += sum(array.nbytes for array in sample.feeds.values())
            if size <= most:
                kept.append(sample)
    census = counting.result(calibration=role == "calibration", warnings=source.warnings)
    if isinstance(source, FunctionSource):
        opened.files.update(dict.fromkeys(source.function.files))
    return Dataset(
        spec=spec,
        census=census,
        read_files=tuple(opened.files),
        read_folders=tuple(opened.folders),
        _source=source,
        _root=root,
        _signature=signature,
        _limit=limit,
        _fixed=fixed,
        _kept=tuple(kept),
    )


def _open(spec: str, *, root: Path, inputs: list[str], preprocess: PreprocessTable | None) -> Source:
    path = root / spec
    if is_function_spec(spec) and not path.exists():
        return FunctionSource(UserFunction(spec, root=root))
    if not path.exists():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        close = difflib.get_close_matches(path.name, siblings, n=1)
        raise ConfigError(
            "data-not-found",
            "there is no such file or folder",
            where=str(path),
            hint=f"did you mean {close[0]!r}?" if close else "paths in [data] are relative to targets.toml",
        )
    return open_source(path, inputs=inputs, preprocess=preprocess)


def _draw(
    source: Source,
    signature: Signature,
    limit: int | None,
    *,
    root: Path,
    fixed: Mapping[str, object] | None,
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[Sample]:
    raws = source.draw(None if limit is None else limit * batch_size(signature))
    for sample in itertools.islice(fit_all(raws, signature, fixed=fixed, note=note), limit):
        for array in sample.feeds.values():
            array.flags.writeable = False
        # Reports name samples, and must be the same wherever the project lies.
        yield replace(sample, origin=sample.origin.removeprefix(f"{root}/"))
