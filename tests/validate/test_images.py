"""Preprocessing against the same arithmetic written out with numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgetool.config.schema import PreprocessTable
from edgetool.errors import ConfigError
from edgetool.validate.images import read_image

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 81, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_the_usual_imagenet_recipe(photo: Path) -> None:
    table = PreprocessTable(resize=40, crop=(32, 24), interpolation="bicubic", mean=MEAN, std=STD)
    with Image.open(photo) as image:
        resized = np.asarray(image.resize((54, 40), Image.Resampling.BICUBIC))
    cropped = resized[4:36, 15:39]
    wanted = ((cropped / 255.0 - MEAN) / STD).transpose(2, 0, 1)
    result = read_image(photo, table)
    assert result.dtype == np.float32
    assert result.shape == (3, 32, 24)
    np.testing.assert_allclose(result, wanted, atol=2e-6)


def test_layout_colour_and_scale(photo: Path) -> None:
    with Image.open(photo) as image:
        pixels = np.asarray(image).astype(np.float32)
        gray = np.asarray(image.convert("L")).astype(np.float32)
    np.testing.assert_array_equal(read_image(photo, PreprocessTable(scale=1, layout="NHWC")), pixels)
    np.testing.assert_array_equal(
        read_image(photo, PreprocessTable(scale=1, color="bgr", layout="NHWC")), pixels[..., ::-1]
    )
    np.testing.assert_array_equal(read_image(photo, PreprocessTable(scale=1, color="gray")), gray[None])
    np.testing.assert_allclose(
        read_image(photo, PreprocessTable(scale=1 / 127.5, mean=[1.0], layout="NHWC")), pixels / 127.5 - 1, atol=1e-6
    )


def test_resize_to_both_sides(photo: Path) -> None:
    assert read_image(photo, PreprocessTable(resize=(16, 32))).shape == (3, 16, 32)
    assert read_image(photo, PreprocessTable(resize=30)).shape == (3, 30, 40)


@pytest.mark.parametrize(
    ("table", "code"),
    [
        (PreprocessTable(crop=224), "data-image-too-small"),
        (PreprocessTable(mean=[1.0, 2.0]), "bad-preprocess"),
        (PreprocessTable(std=[1.0, 0.0, 1.0]), "bad-preprocess"),
    ],
)
def test_tables_that_do_not_suit_the_picture(photo: Path, table: PreprocessTable, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_image(photo, table)
    assert caught.value.code == code


def test_sixteen_bit_pictures_are_refused_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 40000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ConfigError) as caught:
        read_image(tmp_path / "deep.png", PreprocessTable())
    assert caught.value.code == "data-image-mode"
