"""The user's samples inside a child process: opened once, checked to stay the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.engine.desk import Desk
from edgetool.engine.requests import DataRequest, request_json
from edgetool.errors import ConfigError
from edgetool.runner import Feeds
from edgetool.signature import Signature

if TYPE_CHECKING:
    from edgetool.validate.data import Dataset


def open_data(
    request: DataRequest,
    signature: Signature,
    desk: Desk,
    *,
    fixed: Mapping[str, Any] | None = None,
    keep: int | None = None,
) -> Dataset:
    """Open samples, or return those that this process has open already: drawing them may be slow.

    Args:
        request: where they come from.
        signature: what they must fit.
        desk: of this process.
        fixed: inputs that `specialize` turned into constants; samples may still hold them.
        keep: bytes up to which they stay in memory, where they are not open already; None for what is usual.
    """
    from edgetool.validate.data import open_dataset

    source = request_json(replace(request, digest=None))
    key = json.dumps([source, [spec.to_json() for spec in signature.inputs], fixed])
    if key not in desk.datasets:
        desk.datasets[key] = open_dataset(
            request.spec,
            root=request.root,
            signature=signature,
            preprocess=request.preprocess,
            limit=request.limit,
            role=request.role,
            fixed=fixed,
            keep=keep,
        )
    found = desk.datasets[key]
    same = not fixed and not found.census.regrouped  # otherwise the digest is that of other feeds
    if request.digest is not None and same and found.digest != request.digest:
        raise ConfigError(
            "data-changed",
            "reading the samples a second time gave other samples",
            where=request.spec,
            hint="seed what is random in the data function, and leave the files alone during a build",
        )
    return found


class LazySamples:
    """The user's samples, opened when the importer first looks: by then it has checked the declared inputs itself."""

    def __init__(self, request: DataRequest, signature: Signature, desk: Desk) -> None:
        self._request, self._signature, self._desk = request, signature, desk
        self.read_files: frozenset[Path] = frozenset()

    def _open(self) -> Dataset:
        found = open_data(self._request, self._signature, self._desk)
        self.read_files = frozenset(found.read_files)
        return found

    @property
    def count(self) -> int:
        return self._open().count

    @property
    def digest(self) -> str:
        return self._open().digest

    def __iter__(self) -> Iterator[Feeds]:
        return iter(self._open())
