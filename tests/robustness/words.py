"""Values that programs stumble over: numbers at the edges, names that are no names, and paths that lead out."""

from __future__ import annotations

from random import Random

COUNTS = (-1, 0, 1, 2, 3, 7, -2, 255, 65536, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, -(2**31), -(2**63))
NAMES = (
    "",
    " ",
    "x",
    "a\0b",
    "a\nb",
    "\x1b[2J",
    "../up",
    "/etc/passwd",
    "n" * 5000,
    "%s%n",
    "{0}",
    "日本語",
    "e\u0301",
    "\u202eabc",
    "\U0001f980",
    "__class__",
    "$(id)",
    "a;b",
    "[red]",
    "None",
)
PATHS = (
    "../sentinel/secret.bin",
    "../../sentinel/secret.bin",
    "sub/../../sentinel/secret.bin",
    "/etc/passwd",
    "/dev/zero",
    "/dev/stdin",
    "/proc/self/environ",
    "~/secret.bin",
    "weights.bin",
    "./weights.bin",
    "weights.bin/",
    "weights.bin\0.txt",
    "model.onnx",
    ".",
    "..",
    "",
    "C:\\secret.bin",
    "..\\sentinel\\secret.bin",
    "file:///etc/passwd",
    "\\\\host\\share",
    "p" * 300,
)


def a_float(random: Random) -> float:
    return random.choice((float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e-45, 3e38, -1.0))
