"""Samples of a small network for pictures, in a folder; and the error where they do not serve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgetool.errors import ConfigError
from edgetool.signature import DimRange, Signature, TensorSpec
from edgetool.validate.data import open_dataset

IMAGE = Signature(
    inputs=(TensorSpec("image", "float32", ("batch", 3, 8, 8)),),
    outputs=(TensorSpec("scores", "float32", ("batch", 4)),),
    dims={"batch": DimRange(1, 1, 8)},
)


def random_image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(3, 8, 8)).astype(np.float32)


def npz_folder(root: Path, *, count: int = 4, **changes: object) -> Path:
    folder = root / "calib"
    folder.mkdir()
    for i in range(count):
        np.savez(folder / f"{i:02}.npz", **{"image": random_image(i), "label": np.int64(i % 4), **changes})
    return folder


def refusal(root: Path, spec: str = "calib", signature: Signature = IMAGE, **options: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        open_dataset(spec, root=root, signature=signature, **options)
    assert caught.value.exit_code == 2
    return caught.value
