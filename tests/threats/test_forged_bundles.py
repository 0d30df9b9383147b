"""A forger who gets all hashes right still cannot make a command fall over: values are checked where they are read."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetool.bundle.golden import read_min_cosine
from edgetool.bundle.read import read_bundle
from edgetool.errors import IntegrityError
from edgetool.report.collect import report_of

Change = Callable[[Any], None]


def _forge(bundle: Path, name: str, change: Change) -> None:
    """Change a document, and make the manifest agree."""
    path, manifest = bundle / name, bundle / "manifest.json"
    (bundle / "reports" / "measurements.json").unlink(missing_ok=True)  # it would name the old content
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))
    if path != manifest:
        listing = json.loads(manifest.read_bytes())
        row = next(row for row in listing["files"] if row["path"] == name)
        row.update(size=path.stat().st_size, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        manifest.write_text(json.dumps(listing))


@pytest.mark.parametrize(
    "change",
    [
        lambda report: report["comparison"].update(trials=[{}]),
        lambda report: report.update(unproven=[7]),
        lambda report: report.update(placement="everywhere"),
        lambda report: report.update(verdicts={"a": 1}),
    ],
)
def test_reports_with_values_of_other_types(change: Change, bundle: Path) -> None:
    _forge(bundle, "reports/validation.json", change)
    with pytest.raises(IntegrityError) as error:
        report_of(read_bundle(bundle))
    assert error.value.code == "report-invalid"


@pytest.mark.parametrize("wanted", [[], "high", 7, None])
def test_a_tolerance_that_is_none(wanted: object, bundle: Path) -> None:
    _forge(bundle, "io/index.json", lambda index: index.update(min_cosine=wanted))
    with pytest.raises(IntegrityError):
        read_min_cosine(bundle / "io")


def test_golden_data_in_endless_brackets(
    bundle: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Every command that reads them, also those that only look who computed them."""
    index = bundle / "io" / "index.json"
    _forge(bundle, "io/index.json", lambda _: None)
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    index.write_bytes(b"[" * 200_000)
    row = next(row for row in manifest["files"] if row["path"] == "io/index.json")
    row.update(size=index.stat().st_size, sha256=hashlib.sha256(index.read_bytes()).hexdigest())
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    done = run_cli("diff", bundle, bundle)
    assert done.returncode == 7, done.stderr
    assert "error[golden-damaged]" in done.stderr


def test_options_that_the_backend_does_not_have(
    bundle: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    _forge(bundle, "manifest.json", lambda manifest: manifest["backend"]["options"].update(provider_options="x"))
    done = run_cli("validate", bundle)
    assert done.returncode == 7, done.stderr
    assert "error[manifest-invalid]" in done.stderr


def test_verdicts_without_a_status(bundle: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    _forge(bundle, "manifest.json", lambda manifest: manifest.update(verdicts=[{}]))
    done = run_cli("inspect", bundle)
    assert done.returncode == 0, done.stderr
