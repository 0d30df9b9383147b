"""Samples from a function: what it depends on, in which module it lies, and whose fault it is."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from edgetool.errors import ConfigError
from edgetool.validate import data
from edgetool.validate.data import open_dataset
from tests.validate.sample_folders import IMAGE, random_image, refusal


def test_a_function_depends_on_its_module_its_imports_and_the_files_it_opens(tmp_path: Path) -> None:
    np.save(tmp_path / "bulk.npy", np.stack([random_image(i) for i in range(3)]))
    (tmp_path / "sizes_of.py").write_text("COUNT = 3\n")
    (tmp_path / "mine.py").write_text(
        "import pathlib\n"
        "import numpy as np\n"
        "print('hello from the module')\n"
        "def load():\n"
        "    import sizes_of\n"
        "    here = pathlib.Path(__file__).parent\n"
        "    for i, image in enumerate(np.load(here / 'bulk.npy')[: sizes_of.COUNT]):\n"
        "        yield {'image': image[None]}, [i]\n"
    )
    path, modules = list(sys.path), set(sys.modules)
    dataset = open_dataset("mine:load", root=tmp_path, signature=IMAGE)
    assert [sample.label for sample in dataset.samples()] == [[0], [1], [2]]
    assert set(dataset.read_files) == {tmp_path / "mine.py", tmp_path / "sizes_of.py", tmp_path / "bulk.npy"}
    assert sys.path == path
    assert not {"mine", "sizes_of"} & (set(sys.modules) - modules)
    assert not (tmp_path / "__pycache__").exists()


def test_two_projects_may_use_the_same_module_name(tmp_path: Path) -> None:
    for i, name in enumerate(("one", "two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(
            "import numpy as np\n"
            f"def load():\n    for i in range(2): yield {{'image': np.eye(8)[None].repeat(3, 0) * {i + 1}}}\n"
        )
    first = open_dataset("mine:load", root=tmp_path / "one", signature=IMAGE)
    second = open_dataset("mine:load", root=tmp_path / "two", signature=IMAGE)
    assert float(next(iter(first))["image"].max()) == 1.0
    assert float(next(iter(second))["image"].max()) == 2.0


def test_a_user_module_may_bear_the_name_of_one_that_is_loaded(tmp_path: Path) -> None:
    import json

    (tmp_path / "json.py").write_text(
        "import numpy as np\ndef load():\n    yield {'image': np.eye(8)[None].repeat(3, 0)}\n"
    )
    assert open_dataset("json:load", root=tmp_path, signature=IMAGE).count == 1
    assert sys.modules["json"] is json


def test_modules_of_other_paths_below_the_folder_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "elsewhere_xyz.py").write_text("MARK = object()\n")
    (tmp_path / "mine.py").write_text(
        "import numpy as np, elsewhere_xyz\ndef load():\n    yield {'image': np.eye(8)[None].repeat(3, 0)}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    dataset = open_dataset("mine:load", root=tmp_path, signature=IMAGE)
    assert "elsewhere_xyz" in sys.modules
    assert "mine" not in sys.modules
    assert tmp_path / "lib" / "elsewhere_xyz.py" in dataset.read_files
    monkeypatch.delitem(sys.modules, "elsewhere_xyz")


@pytest.mark.parametrize("spec", ["tools.data.mine:load", "tools/data/mine.py:load", "tools/data/mine:load"])
def test_functions_in_sub_folders(tmp_path: Path, spec: str) -> None:
    (tmp_path / "tools" / "data").mkdir(parents=True)
    (tmp_path / "tools" / "data" / "mine.py").write_text(
        "import numpy as np\ndef load():\n    yield {'image': np.eye(8)[None].repeat(3, 0)}\n"
    )
    assert open_dataset(spec, root=tmp_path, signature=IMAGE).count == 1
    assert not {"tools", "tools.data", "tools.data.mine"} & set(sys.modules)


def test_a_module_may_lie_in_a_folder_without_init_inside_of_a_package(tmp_path: Path) -> None:
    folder = tmp_path / "nets" / "digits"
    folder.mkdir(parents=True)
    (tmp_path / "nets" / "__init__.py").write_text("")
    (folder / "mine.py").write_text(
        "import numpy as np\ndef load():\n    yield {'image': np.eye(8, dtype='float32')[None, None].repeat(3, 1)}\n"
    )
    samples = open_dataset("nets.digits.mine:load", root=tmp_path, signature=IMAGE)
    assert samples.count == 1


def test_a_function_that_raises_is_blamed_at_its_own_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def load():\n    yield from []\n    open('/nowhere/at/all')\n")
    error = refusal(tmp_path, "mine:load")
    assert error.code == "user-function-failed"
    assert error.where == f"{tmp_path / 'mine.py'}:3"
    assert "FileNotFoundError" in error.message


@pytest.mark.parametrize(
    ("text", "spec", "code", "says"),
    [
        ("def load(): return 3\n", "mine:load", "bad-data-function", "int"),
        ("def load(): return [3]\n", "mine:load", "bad-data-function", "a sample is int"),
        ("def load(): return []\n", "mine:load", "data-empty", "no samples"),
        ("def loadd(): return []\n", "mine:load", "user-function-not-found", "no function 'load'"),
        ("import not_there\ndef load(): ...\n", "mine:load", "user-function-failed", "not_there"),
        ("def load(:\n", "mine:load", "user-function-failed", "SyntaxError"),
        ("import sys\ndef load(): sys.exit(0)\n", "mine:load", "user-function-failed", "SystemExit"),
        ("", "mime:load", "user-function-not-found", "no module 'mime'"),
    ],
)
def test_what_is_wrong_with_a_function_is_said(tmp_path: Path, text: str, spec: str, code: str, says: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    error = refusal(tmp_path, spec)
    assert error.code == code
    assert says in error.message


def test_a_function_that_refills_one_buffer_still_gives_different_samples(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def load():\n"
        "    buffer = np.zeros((1, 3, 8, 8), np.float32)\n"
        "    for i in range(3):\n"
        "        buffer[:] = i; buffer[0, 0, 0, 0] = 9\n"
        "        yield {'image': buffer}\n"
    )
    dataset = open_dataset("mine:load", root=tmp_path, signature=IMAGE)
    assert [float(feeds["image"][0, 1, 1, 1]) for feeds in dataset] == [0, 1, 2]


def test_samples_that_change_between_two_readings_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "KEEP_BYTES", 0)
    (tmp_path / "mine.py").write_text(
        "import numpy as np\ndef load():\n    for _ in range(3): yield {'image': np.random.normal(size=(1, 3, 8, 8))}\n"
    )
    dataset = open_dataset("mine:load", root=tmp_path, signature=IMAGE)
    with pytest.raises(ConfigError, match="second time") as caught:
        list(dataset)
    assert caught.value.code == "data-changed"


def test_the_first_samples_are_not_drawn_again(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nfrom pathlib import Path\n"
        "def load():\n"
        "    for i in range(4):\n"
        "        with Path(__file__).with_name('drawn').open('a') as log: log.write(str(i))\n"
        "        yield {'image': np.full((1, 3, 8, 8), i / 4 + np.arange(64).reshape(8, 8) / 64, np.float32)}\n"
    )
    dataset = open_dataset("mine:load", root=tmp_path, signature=IMAGE, keep=2 * 3 * 8 * 8 * 4)
    drawn = tmp_path / "drawn"
    assert [float(feeds["image"][0, 0, 0, 0]) for feeds in itertools.islice(dataset, 2)] == [0, 0.25]
    assert drawn.read_text() == "0123"
    assert [float(feeds["image"][0, 0, 0, 0]) for feeds in dataset] == [0, 0.25, 0.5, 0.75]
    assert drawn.read_text() == "01230123"


def test_folders_that_only_imports_look_into_are_not_remembered(tmp_path: Path) -> None:
    """A build writes `dist` beside the user's modules: that must not make the samples look changed."""
    (tmp_path / "beside.py").write_text("VALUE = 0.5\n")
    (tmp_path / "mydata.py").write_text(
        "import numpy as np\nimport beside\n"
        "def samples():\n    for n in range(4): yield {'image': np.full((1, 3, 8, 8), beside.VALUE + n, 'float32')}\n"
    )
    dataset = open_dataset("mydata:samples", root=tmp_path, signature=IMAGE)
    assert {path.name for path in dataset.read_files} == {"mydata.py", "beside.py"}
    assert dataset.read_folders == ()
