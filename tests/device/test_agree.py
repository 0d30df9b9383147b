"""The rule of golden outputs is the same in C and in Python."""

from __future__ import annotations

import ctypes
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from edgetool.validate.difference import difference
from edgetool.validate.tolerance import golden_agrees
from tests.device.conftest import tool
from tests.device.selftest import STRICT

DTYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "bfloat16", "float32", "float64",
)  # fmt: skip
"""In the order of `enum dtype`."""


class Tensor(ctypes.Structure):
    """`struct tensor`."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("dtype", ctypes.c_int),
        ("rank", ctypes.c_size_t),
        ("shape", ctypes.c_int64 * 16),
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_size_t),
    ]


class Difference(ctypes.Structure):
    """`struct difference`."""

    _fields_ = [
        ("integral", ctypes.c_bool),
        ("strays", ctypes.c_size_t),
        ("equal", ctypes.c_double),
        ("cosine", ctypes.c_double),
        ("gain", ctypes.c_double),
        ("max_abs", ctypes.c_double),
    ]


@pytest.fixture(scope="module")
def rule(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """agree.c as a library."""
    path = tmp_path_factory.mktemp("rule") / "agree.so"
    source = Path(str(files("edgetool.selftest") / "source"))
    names = [str(source / name) for name in ("agree.c", "tensor.c")]
    subprocess.run([tool("gcc"), *STRICT, "-shared", "-fPIC", "-o", str(path), *names, "-lm"], check=True)
    library = ctypes.CDLL(str(path))
    library.difference_of.restype = Difference
    library.difference_of.argtypes = [ctypes.POINTER(Tensor), ctypes.POINTER(Tensor)]
    library.agrees.restype = ctypes.c_bool
    library.agrees.argtypes = [ctypes.POINTER(Difference), ctypes.c_double]
    library.tensor_bytes.restype = ctypes.c_bool
    return library


def tensor(array: np.ndarray[Any, Any]) -> Tensor:
    array = np.ascontiguousarray(array)
    made = Tensor(b"y", DTYPES.index(array.dtype.name), array.ndim, (ctypes.c_int64 * 16)(*array.shape))
    made.data, made.bytes, made.keep = array.ctypes.data, array.nbytes, array
    return made


def check(rule: Any, golden: np.ndarray[Any, Any], found: np.ndarray[Any, Any], min_cosine: float = 0.999) -> bool:
    """Both say the same; what they say."""
    wanted = difference("y", golden, found)
    got = rule.difference_of(tensor(golden), tensor(found))
    assert (got.integral, got.strays) == (wanted.integral, wanted.strays)
    assert got.equal == pytest.approx(wanted.equal)
    if not wanted.integral:
        assert got.cosine == pytest.approx(wanted.cosine, nan_ok=True)
        assert got.gain == pytest.approx(wanted.gain, nan_ok=True)
        assert got.max_abs == pytest.approx(wanted.max_abs, rel=1e-12)
    verdict: bool = rule.agrees(got, min_cosine)
    assert verdict == golden_agrees(wanted, min_cosine)
    return verdict


FLOATS = np.array([1.5, -2.0, 0.25, 3.0])


PAIRS = [
    (FLOATS, FLOATS, True),
    (FLOATS, FLOATS * 1.09, True),
    (FLOATS, FLOATS * 1.11, False),  # a cosine would not notice
    (FLOATS, FLOATS * 0.89, False),
    (FLOATS, -FLOATS, False),
    (FLOATS, FLOATS * 0, False),
    (FLOATS * 0, FLOATS, False),
    (FLOATS * 0, FLOATS * 0, True),
    (FLOATS * 0, FLOATS * 1e-7, True),
    (FLOATS * 1e-9, -FLOATS * 1e-9, True),  # noise
    ([7.0], [70.0], False),
    ([np.nan, 1], [np.nan, 1], True),
    ([np.nan, np.nan], [np.nan, np.nan], True),
    ([np.nan, 1], [0, 1], False),
    ([0, 1], [np.nan, 1], False),
    ([1, 2], [np.nan, np.nan], False),
    ([np.inf, 1], [np.inf, 1], True),
    ([np.inf, 1], [-np.inf, 1], False),
    ([np.inf, 1], [6e4, 1], False),
    ([0.0, 1], [-0.0, 1], True),
    ([], [], True),
]


@pytest.mark.parametrize(("golden", "found", "agrees"), PAIRS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_floats(rule: Any, dtype: str, golden: list[float], found: list[float], agrees: bool) -> None:
    kind = np.dtype(getattr(ml_dtypes, dtype)) if dtype == "bfloat16" else np.dtype(dtype)
    assert check(rule, np.array(golden, kind), np.array(found, kind)) == agrees


@pytest.mark.parametrize(("golden", "found", "agrees"), PAIRS[:-1])
def test_the_script_of_a_kit_says_the_same(golden: list[float], found: list[float], agrees: bool) -> None:
    script = str(files("edgetool_tensorrt.kit") / "script" / "kit" / "compare.awk")
    lines = "".join(f"{one:.9g}\t{other:.9g}\n" for one, other in zip(golden, found, strict=True))
    command = [tool("awk"), "-F", "\t", "-v", "dtype=float32", "-v", "min_cosine=0.999", "-f", script]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == ("ok" if agrees else "wrong"), done.stdout


def test_sums_that_overflow_do_not_agree(rule: Any) -> None:
    huge = np.array([1e200, -1e200])
    assert not check(rule, huge, huge[::-1].copy())
    assert check(rule, huge, huge)  # nothing differs


@pytest.mark.parametrize("dtype", [name for name in DTYPES if "float" not in name])
@pytest.mark.parametrize(("wrong", "min_cosine", "agrees"), [(0, 0.999, True), (1, 0.999, True), (2, 0.999, False),
                                                             (5, 0.99, True), (6, 0.99, False)])  # fmt: skip
def test_integers(rule: Any, dtype: str, wrong: int, min_cosine: float, agrees: bool) -> None:
    golden = np.tile(np.array([0, 1], dtype), 50)
    found = golden.copy()
    found[:wrong] = ~golden[:wrong] if dtype == "bool" else golden[:wrong] + 1
    assert check(rule, golden, found, min_cosine) == agrees


def test_integers_are_not_rounded(rule: Any) -> None:
    golden = np.array([2**53, -(2**63), 2**63 - 1], "int64")
    assert check(rule, golden, golden)
    assert not check(rule, golden, golden + np.array([1, 1, -1]))


def test_every_half(rule: Any) -> None:
    """All 65536 of each kind, subnormals and NaNs among them, mean what numpy says they mean."""
    bits = np.arange(65536, dtype=np.uint16)
    for kind in (np.float16, ml_dtypes.bfloat16):
        golden = bits.view(kind)
        for value in range(0, 65536, 4096):
            part = golden[value : value + 4096]
            check(rule, part, np.roll(part, 1))
            assert check(rule, part, part.copy())


def test_random_tensors(rule: Any) -> None:
    generator = np.random.default_rng(1)
    verdicts = set()
    for _ in range(200):
        golden = generator.normal(size=generator.integers(1, 40)).astype("float32")
        found = (golden + generator.normal(size=golden.size) * generator.choice([0, 0.01, 0.03, 0.1, 1])).astype(
            "float32"
        )
        spots = generator.random(golden.size) < generator.choice([0, 0.02])
        golden[spots], found[spots] = np.nan, generator.choice([np.nan, 1.0])
        verdicts.add(check(rule, golden, found))
    assert verdicts == {True, False}


@pytest.mark.parametrize(
    ("shape", "size"), [((), 4), ((3, 5), 60), ((0, 5), 0), ((1 << 62, 0), None), ((1 << 62,), None), ((-1,), None),
                        ((1 << 32, 1 << 32), None), ((1 << 31, 1 << 29), 1 << 62)]
)  # fmt: skip
def test_sizes_do_not_overflow(rule: Any, shape: tuple[int, ...], size: int | None) -> None:
    made = Tensor(b"y", DTYPES.index("float32"), len(shape), (ctypes.c_int64 * 16)(*shape))
    found = ctypes.c_size_t()
    assert rule.tensor_bytes(ctypes.byref(made), ctypes.byref(found)) == (size is not None)
    assert size is None or found.value == size
