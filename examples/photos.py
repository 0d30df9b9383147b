"""Photos for ImageNet classifiers: 20 with labels to judge by, 10 others to calibrate with.

The labelled ones come with foolbox and are under ImageNet's research terms: use them here, do not pass them on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from examples.fetch import Package, fetch

SIDE = 224
Pixels = np.ndarray
"""uint8, the last three axes are height, width, RGB."""

FOOLBOX = "f97f53691886511cc3703b695027da3b2b82b082498982956cb1b6b9487b9385"
SKIMAGE = "3d5f170d75bcca96beaa6933e614f3b37702dfce18250168546309afea137739"
SKLEARN = "7bfbb01d5ade70bd5594d2d21f88726b45fc83f1185189cec290a005c8ad4a73"

_VIEW_CORNERS = ((16, 16), (0, 0), (32, 0), (0, 32), (32, 32))


def save(path: Path) -> None:
    """One npz file: `views` with `labels` to judge by, `calibration`, and `held_out` crops to compare engines on."""
    views, labels = labelled_views()
    crops = unlabelled_crops(200)
    np.savez(path, views=views, labels=labels, calibration=crops[:100], held_out=crops[100:])


def labelled_views() -> tuple[Pixels, np.ndarray]:
    """Ten views (five crops, each also mirrored) of each labelled photo: [200,224,224,3] and the classes [200]."""
    paths = fetch(Package("pypi", "foolbox", "3.3.4"), "foolbox/data/imagenet_*.jpg", sha256=FOOLBOX)
    views = np.stack([view for path in paths for view in _views(_open(path))])
    labels = [int(path.stem.split("_")[2]) for path in paths]
    return views, np.repeat(labels, len(views) // len(labels))


def unlabelled_crops(count: int) -> Pixels:
    """Random square crops of photos without an ImageNet label, the same ones every time: [count,224,224,3]."""
    skimage = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "ihc.png", "color.png",
               "rocket.jpg", "hubble_deep_field.jpg")  # fmt: skip
    paths = [
        *fetch(
            Package("pypi", "scikit-image", "0.26.0"), *(f"skimage/data/{name}" for name in skimage), sha256=SKIMAGE
        ),
        *fetch(Package("pypi", "scikit-learn", "1.9.1"), "sklearn/datasets/images/*.jpg", sha256=SKLEARN),
    ]
    photos = [_open(path) for path in paths]
    random = np.random.RandomState(0)
    return np.stack([_random_crop(photos[index % len(photos)], random) for index in range(count)])


def _open(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")


def _views(photo: Image.Image) -> Iterator[Pixels]:
    photo = photo.resize((256, 256), Image.Resampling.BICUBIC)
    for left, top in _VIEW_CORNERS:
        view = photo.crop((left, top, left + SIDE, top + SIDE))
        yield np.asarray(view)
        yield np.asarray(ImageOps.mirror(view))


def _random_crop(photo: Image.Image, random: np.random.RandomState) -> Pixels:
    side = int(min(photo.size) * random.uniform(0.4, 1.0))
    left, top = (random.randint(0, room - side + 1) for room in photo.size)
    crop = photo.crop((left, top, left + side, top + side))
    return np.asarray(crop.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
