"""Says what a file that is not ONNX looks like, so that the error can name the right next step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Likeness:
    """What a file looks like.

    Attributes:
        name: with its article, e.g. `a PNG image`.
        hint: what to do with such a file.
    """

    name: str
    hint: str = "name the ONNX file, or export one from your framework"


_USE_ITS_IMPORTER = "give the file its own ending (.pt2, .pt) so that the PyTorch importer reads it"

# offset, leading bytes, likeness; the first match wins.
_MAGIC = (
    (0, b"version https://git-lfs", Likeness("a Git LFS pointer, not the file itself", "run `git lfs pull`")),
    (0, b"PK\x03\x04", Likeness("a zip archive (PyTorch saves such files)", _USE_ITS_IMPORTER)),
    (0, b"\x80\x02", Likeness("a Python pickle", "export the network to ONNX or to .pt2; pickles run code")),
    (0, b"\x80\x03", Likeness("a Python pickle", "export the network to ONNX or to .pt2; pickles run code")),
    (0, b"\x80\x04", Likeness("a Python pickle", "export the network to ONNX or to .pt2; pickles run code")),
    (0, b"\x80\x05", Likeness("a Python pickle", "export the network to ONNX or to .pt2; pickles run code")),
    (4, b"TFL3", Likeness("a TensorFlow Lite model", "convert it, e.g. `python -m tf2onnx.convert --tflite FILE`")),
    (4, b"ORTM", Likeness("an ORT-format model", "name the .onnx file that it was made from")),
    (0, b"ftrt", Likeness("a TensorRT engine", "name the ONNX file that it was built from")),
    (0, b"ptrt", Likeness("a TensorRT engine", "name the ONNX file that it was built from")),
    (0, b"GGUF", Likeness("a GGUF file")),
    (0, b"\x89HDF", Likeness("an HDF5 file (Keras saves such files)", "convert it with tf2onnx")),
    (0, b"\x93NUMPY", Likeness("a NumPy array")),
    (0, b"\x89PNG", Likeness("a PNG image")),
    (0, b"\xff\xd8\xff", Likeness("a JPEG image")),
    (0, b"GIF8", Likeness("a GIF image")),
    (0, b"%PDF", Likeness("a PDF document")),
    (0, b"\x7fELF", Likeness("an ELF executable or library")),
    (0, b"\x1f\x8b", Likeness("a gzip archive", "unpack it first")),
    (0, b"\xfd7zXZ", Likeness("an xz archive", "unpack it first")),
    (0, b"\x28\xb5\x2f\xfd", Likeness("a zstd archive", "unpack it first")),
    (257, b"ustar", Likeness("a tar archive", "unpack it first")),
    (8, b'{"', Likeness("a safetensors file: weights without a network", "name the network as module:function")),
)


def recognize(head: bytes) -> Likeness | None:
    """What a file with these first bytes (512 are enough) looks like, or None."""
    for offset, magic, likeness in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return likeness
    return _recognize_text(head)


def _recognize_text(head: bytes) -> Likeness | None:
    try:
        text = head.decode("utf-8").lstrip("\ufeff \t\r\n")
    except UnicodeDecodeError:
        return None
    if not text or any(ord(c) < 32 and c not in "\t\r\n" for c in text):
        return None
    lowered = text.lower()
    if lowered.startswith(("<!doctype html", "<html")):
        return Likeness("an HTML page, not the file itself", "download the file again; the server sent a web page")
    if lowered.startswith(("<?xml", "<net")):
        return Likeness("an XML file (OpenVINO IR is such a file)", "name the ONNX file that it was made from")
    if text[0] in "{[":
        return Likeness("a JSON file")
    return Likeness("a text file")


def starts_like_onnx(head: bytes) -> bool:
    """True when the first field is a small `ir_version`, as every writer of ONNX puts it."""
    return len(head) >= 2 and head[0] == 0x08 and 1 <= head[1] <= 64
