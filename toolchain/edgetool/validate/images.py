"""From a picture to the model's input, exactly as `[data.preprocess]` declares it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.config.schema import PreprocessTable
from edgetool.errors import ConfigError
from edgetool.validate.samples import Array

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})

_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"})


def read_image(path: Path, preprocess: PreprocessTable) -> Array:
    """Decode and preprocess one picture.

    Returns:
        float32, [channels, height, width] or [height, width, channels].

    Raises:
        ConfigError: it cannot be decoded, is smaller than the crop, or has more than 8 bits a channel.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            return preprocess_image(image, preprocess, where=str(path))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            "data-unreadable", f"cannot be decoded: {reason}", where=str(path), hint="replace or remove the picture"
        ) from error


def preprocess_image(image: Image.Image, preprocess: PreprocessTable, *, where: str) -> Array:
    """Resize, crop, order the channels, scale, normalise: in this order, in float32.

    The arithmetic of sizes is torchvision's: the longer side is truncated, the crop's offset is rounded.
    Resampling is Pillow's, which filters when it shrinks.
    """
    import numpy as np

    if image.mode not in _EIGHT_BIT_MODES:
        raise ConfigError(
            "data-image-mode",
            f"Pillow mode {image.mode!r} has more than 8 bits a channel",
            where=where,
            hint="convert it to 8 bits, or feed arrays (.npy, .npz) instead",
        )
    image = image.convert("L" if preprocess.color == "gray" else "RGB")
    image = _cropped(_resized(image, preprocess), preprocess, where)
    pixels = np.asarray(image, dtype=np.float32)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if preprocess.color == "bgr":
        pixels = pixels[:, :, ::-1]
    channels = pixels.shape[2]
    values = pixels * np.float32(preprocess.scale)
    if preprocess.mean:
        values = values - _per_channel("mean", preprocess.mean, channels)
    if preprocess.std:
        values = values / _per_channel("std", preprocess.std, channels)
    if preprocess.layout == "NCHW":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values)


def _resized(image: Image.Image, preprocess: PreprocessTable) -> Image.Image:
    from PIL import Image

    if preprocess.resize is None:
        return image
    if isinstance(preprocess.resize, int):
        short = min(image.size)
        width, height = (
            preprocess.resize if side == short else int(preprocess.resize * side / short) for side in image.size
        )
    else:
        height, width = preprocess.resize
    if (width, height) == image.size:
        return image
    return image.resize((width, height), Image.Resampling[preprocess.interpolation.upper()])


def _cropped(image: Image.Image, preprocess: PreprocessTable, where: str) -> Image.Image:
    if preprocess.crop is None:
        return image
    height, width = (preprocess.crop,) * 2 if isinstance(preprocess.crop, int) else preprocess.crop
    if height > image.height or width > image.width:
        raise ConfigError(
            "data-image-too-small",
            f"{image.width}x{image.height} after resizing is smaller than the crop {width}x{height}",
            where=where,
            hint="resize to at least the crop in [data.preprocess]",
        )
    left, top = round((image.width - width) / 2.0), round((image.height - height) / 2.0)
    return image.crop((left, top, left + width, top + height))


def _per_channel(key: str, values: list[float], channels: int) -> Array:
    import numpy as np

    if len(values) not in (1, channels):
        raise ConfigError(
            "bad-preprocess",
            f"{key} has {len(values)} values, the pictures have {channels} channels",
            where=f"[data.preprocess] {key}",
            hint="give one value a channel, or one for all",
        )
    if key == "std" and 0 in values:
        raise ConfigError("bad-preprocess", "std holds 0: nothing can be divided by it", where="[data.preprocess] std")
    return np.asarray(values, dtype=np.float32)
