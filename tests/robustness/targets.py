"""Mutated targets.toml, token by token."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from random import Random

from tests.robustness.bytes import damaged_bytes
from tests.robustness.seeds import TARGETS, Seeds
from tests.robustness.words import COUNTS, NAMES, PATHS

_TOKEN = re.compile(r'"[^"\n]*"|[A-Za-z_][\w-]*|-?\d[\d.]*|[^\S\n]+|\n|.')
_COMMANDS: tuple[tuple[tuple[str, ...], int], ...] = (
    (("targets", "list"), 4),
    (("targets", "show", "float", "--origin"), 2),
    (("targets", "show", "int8"), 2),
    (("build", "--dry-run", "-t", "float"), 5),
    (("build", "--dry-run", "-t", "int8", "--json"), 3),
    (("check", "-t", "int8"), 2),
    (("build", "-t", "float", "--latency-time", "0.01s"), 2),
)
_VALUES = (
    "nan", "inf", "-inf", "1e999", "0x7fffffffffffffffffff", "true", "1979-05-27T07:32:00Z", "[]", "{}", "[[1]]",
    '"1e400ms"', '"-1%"', '"nan%"', '"99999999999999999999GiB"', '"0ms"', '"\\u0000"', '"\\U0010ffff"', "''", '"@"',
    '"@nvidia/jetson-orin-nano-8gb"', '"float"', '"int8"', '"module:function"', "1" * 5000,
)  # fmt: skip


def mutated_targets(random: Random, seeds: Seeds, folder: Path) -> tuple[str, ...]:
    """Tokens dropped, doubled, exchanged, or of another type; lines out of place; sometimes plain damage."""
    project = seeds.folder / "project"
    shutil.copyfile(project / "model.onnx", folder / "model.onnx")
    for name in ("calib", "eval"):
        (folder / name).symlink_to(project / name)
    (folder / "targets.toml").write_bytes(_mutated(random))
    commands, shares = zip(*_COMMANDS, strict=True)
    return random.choices(commands, shares)[0]


def _mutated(random: Random) -> bytes:
    way = random.random()
    if way < 0.05:
        return damaged_bytes(random, TARGETS.encode())
    if way < 0.08:
        return TARGETS.encode() + _deep(random)
    tokens: list[str] = _TOKEN.findall(TARGETS)
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        _change(random, tokens)
    return "".join(tokens).encode("utf-8", "surrogatepass")


def _change(random: Random, tokens: list[str]) -> None:
    words = [at for at, token in enumerate(tokens) if token and not token.isspace()]
    at, other = random.choice(words), random.choice(words)
    values = [at for at in words if re.match(r'["\d-]', tokens[at])] or words
    way = random.choice((0, 1, 2, 3, 3, 3, 3, 3, 3, 6, 7, 7, 8, 8))
    if way == 0:
        del tokens[at]
    elif way == 1:
        tokens.insert(at, tokens[at])
    elif way == 2:
        tokens[at], tokens[other] = tokens[other], tokens[at]
    elif way == 3:
        tokens[random.choice(values)] = _value(random)
    elif way == 6:
        tokens[at] = random.choice((*NAMES, "\ud800", '"""', "\x00"))
    elif way == 7:
        _move_line(random, tokens)
    else:
        tokens[random.choice(values)] = tokens[random.choice(values)]


def _value(random: Random) -> str:
    strings = [f'"{text}"' for text in (*NAMES, *PATHS) if not set(text) & set('\0\n\x1b\\"')]
    return random.choice((random.choice(_VALUES), str(random.choice(COUNTS)), random.choice(strings)))


def _move_line(random: Random, tokens: list[str]) -> None:
    lines = "".join(tokens).splitlines(keepends=True)
    line = lines.pop(random.randrange(len(lines)))
    if random.random() < 0.3:
        lines.insert(random.randrange(len(lines)), line)
    lines.insert(random.randrange(len(lines)), line)
    tokens[:] = _TOKEN.findall("".join(lines))


def _deep(random: Random) -> bytes:
    depth = random.choice((20, 200, 2000, 20_000))
    return random.choice(
        (
            b"[model.metadata]\na = " + b"[" * depth + b"]" * depth,
            b"[model.metadata]\na = " + b"{a=" * depth + b"1" + b"}" * depth,
            b"[targets.float.facts]\n" + b"a." * depth + b"a = 1",
            b"[targets." + b"a." * depth + b"a]\n",
        )
    )
