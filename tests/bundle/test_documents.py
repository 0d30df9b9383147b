"""The pages on bundles and metrics say what the code does."""

from __future__ import annotations

import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from edgetool.bundle.manifest import Manifest
from edgetool.bundle.write import write_bundle
from edgetool.config.schema import BudgetTable
from edgetool.signature import Signature, TensorSpec
from edgetool.validate.data import open_dataset
from edgetool.validate.difference import difference

from .samples import contents  # noqa: TID252 # tests are no package to import from

DOCS = Path(__file__).parents[2] / "docs" / "reference"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page(name), flags=re.DOTALL)


def first_column(name: str) -> set[str]:
    return {
        word for row in re.findall(r"^\| (`[^|]+) \|", page(name), flags=re.M) for word in re.findall(r"`(\w+)`", row)
    }


def test_the_documented_command_computes_the_content_digest(tmp_path: Path) -> None:
    written = write_bundle(tmp_path / "net", contents(tmp_path))
    (command,) = [block for block in blocks("bundle-format.md", "sh") if "sha256sum" in block]
    done = subprocess.run(command, shell=True, cwd=written.path, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == written.content_digest


def test_every_key_of_the_manifest_is_described() -> None:
    assert {field.name for field in fields(Manifest)} <= first_column("bundle-format.md")


def test_every_budget_and_figure_is_described() -> None:
    import numpy as np

    described = first_column("metrics-and-budgets.md")
    assert set(BudgetTable.model_fields) <= described
    one = np.ones((1, 3), np.float32)
    assert set(difference("y", one, one).to_json()) - {"output"} <= described


def test_the_data_function_of_the_page_is_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = blocks("metrics-and-budgets.md", "python")
    (tmp_path / "mydata.py").write_text(code)
    signature = Signature((TensorSpec("image", "float32", ("b", 3, 32, 32)),), ())
    dataset = open_dataset("mydata:load", root=tmp_path, signature=signature)
    assert (dataset.count, dataset.labelled) == (32, True)
