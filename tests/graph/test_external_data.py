"""External data as an attacker, or a careless copy, would leave it: nothing outside of the model's folder is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from edgetool import graph
from edgetool.errors import EdgetoolError
from edgetool.graph.external_data import array
from edgetool.graph.walk import tensors
from tests.graph.building import with_external_weight

ATTACKS: dict[str, tuple[Mapping[str, str], str]] = {
    "absolute": ({"location": "/etc/passwd"}, "unsafe-external-data"),
    "windows absolute": ({"location": "C:/secret"}, "unsafe-external-data"),
    "parent": ({"location": "../secret"}, "unsafe-external-data"),
    "parent inside": ({"location": "a/../../secret"}, "unsafe-external-data"),
    "backslash": ({"location": "..\\secret"}, "unsafe-external-data"),
    "no name": ({"location": ""}, "unsafe-external-data"),
    "dot": ({"location": "./w.bin"}, "unsafe-external-data"),
    "nul": ({"location": "w.bin\0.txt"}, "unsafe-external-data"),
    "missing": ({"location": "none.bin"}, "broken-external-data"),
    "folder": ({"location": "folder"}, "broken-external-data"),
    "out of range": ({"offset": "4"}, "broken-external-data"),
    "far out of range": ({"offset": "1099511627776"}, "broken-external-data"),
    "overflowing": ({"offset": "99999999999999999999"}, "unsafe-external-data"),
    "negative offset": ({"offset": "-4"}, "unsafe-external-data"),
    "odd offset": ({"offset": "0x10"}, "unsafe-external-data"),
    "too long": ({"length": "1099511627776"}, "broken-external-data"),
    "too short": ({"length": "60"}, "broken-external-data"),
    "negative length": ({"length": "-1"}, "unsafe-external-data"),
    "injected key": ({"__class__": "os"}, "unsafe-external-data"),
    "base path": ({"basepath": "/etc"}, "unsafe-external-data"),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("read", [graph.load, graph.read_model, graph.inspect, graph.check], ids=lambda f: f.__name__)
def test_attack_is_refused(attack: str, read: Callable[[Path], object], tmp_path: Path) -> None:
    entries, code = ATTACKS[attack]
    (tmp_path / "folder").mkdir()
    (tmp_path.parent / "secret").write_bytes(bytes(64))
    path = with_external_weight(tmp_path, entries)
    with pytest.raises(EdgetoolError) as caught:
        read(path)
    assert (caught.value.code, caught.value.exit_code) == (code, 3)
    assert (caught.value.where or "").startswith(str(path))


LINKS = ("symbolic link", "symbolic link to a folder", "hard link")


@pytest.mark.parametrize("kind", LINKS)
@pytest.mark.parametrize("read", [graph.load, graph.files, graph.digest], ids=lambda f: f.__name__)
def test_link_is_refused(kind: str, read: Callable[[Path], object], tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "w.bin").write_bytes(bytes(64))
    inside = tmp_path / "inside"
    inside.mkdir()
    location = "link/w.bin" if kind == "symbolic link to a folder" else "link.bin"
    path = with_external_weight(inside, {"location": location})
    if kind == "hard link":
        os.link(outside / "w.bin", inside / "link.bin")
    elif kind == "symbolic link":
        (inside / "link.bin").symlink_to(outside / "w.bin")
    else:
        (inside / "link").symlink_to(outside)
    with pytest.raises(EdgetoolError) as caught:
        read(path)
    assert caught.value.code == "unsafe-external-data"
    assert kind.split(" to ")[0] in caught.value.message


def test_truncated_data_names_the_sizes(tmp_path: Path) -> None:
    path = with_external_weight(tmp_path, data=bytes(40))
    with pytest.raises(EdgetoolError, match=r"'w.bin' ends at byte 40, but the weights reach to 64") as caught:
        graph.load(path)
    assert caught.value.where == f"{path}: w"


def test_a_weight_is_mapped_not_read(tmp_path: Path) -> None:
    path = with_external_weight(tmp_path)
    (named,) = tensors(graph.load(path, weights=False))
    values = array(named, tmp_path, where=str(path))
    assert isinstance(values, np.memmap)
    np.testing.assert_array_equal(values, np.eye(4, dtype=np.float32))


def test_data_in_a_folder_below_is_fine(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    path = with_external_weight(tmp_path, {"location": "weights/w.bin"})
    (tmp_path / "w.bin").rename(tmp_path / "weights" / "w.bin")
    assert graph.files(path) == (path, tmp_path / "weights" / "w.bin")
    graph.check(path)
