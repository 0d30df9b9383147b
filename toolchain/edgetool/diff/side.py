"""One of the two bundles, with the documents that figures come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetool.bundle.layout import VALIDATION
from edgetool.bundle.manifest import Manifest
from edgetool.bundle.provenance import read_statement
from edgetool.bundle.read import Bundle, read_bundle
from edgetool.bundle.verify import MEASUREMENTS
from edgetool.diff.rows import Identity
from edgetool.errors import IntegrityError
from edgetool.reproduce.causes import Account


@dataclass(frozen=True, slots=True)
class Side:
    """A checked bundle.

    Attributes:
        validation: reports/validation.json.
        measurements: reports/measurements.json; empty where there is none.
        account: what it says of its build.
    """

    bundle: Bundle
    validation: Mapping[str, Any]
    measurements: Mapping[str, Any]
    account: Account

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    @property
    def identity(self) -> Identity:
        manifest = self.manifest
        return Identity(
            path=str(self.bundle.path),
            name=manifest.name,
            version=manifest.version,
            target=manifest.target.name,
            precision=manifest.precision,
            content_digest=self.bundle.content_digest,
        )

    @property
    def comparison(self) -> Mapping[str, Any]:
        found = self.validation.get("comparison")
        return found if isinstance(found, dict) else {}

    @property
    def samples(self) -> str | None:
        """Digest of the data that it was judged by."""
        return self.manifest.evaluation.digest if self.manifest.evaluation else None


def read_side(path: Path) -> Side:
    """Check a bundle and read its reports.

    Raises:
        ConfigError: there is none.
        IntegrityError: it is damaged.
    """
    bundle = read_bundle(path)
    account = Account(bundle.manifest, read_statement(bundle))
    return Side(bundle, _document(path / VALIDATION), _document(path / MEASUREMENTS), account)


def _document(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _damaged(path) from error
    if not isinstance(found, dict):
        raise _damaged(path)
    return found


def _damaged(path: Path) -> IntegrityError:
    return IntegrityError(
        "bundle-damaged",
        "a report of the bundle cannot be read",
        where=str(path),
        hint="get the bundle again from where it came",
    )
