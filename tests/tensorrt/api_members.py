"""Which release of TensorRT has which attribute: writes `api_members.toml` anew, from NVIDIA's wheels of bindings.

    pip download --no-deps tensorrt_bindings==8.6.1 (and tensorrt_cu12_bindings, tensorrt_cu13_bindings: see RELEASES)
    python -m tests.tensorrt.api_members WHEEL...

The bindings are a Python extension that needs TensorRT's libraries only when something is built, so libraries with the
right names and nothing inside are enough to import it and to list what its classes have. Needs gcc, nm and readelf.
TensorRT-RTX is installed whole, and asked as it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

from tests.tensorrt.api_uses import RTX, uses

TABLE = Path(__file__).with_name("api_members.toml")
_WHEELS = {
    "8.6": "tensorrt_bindings-8.6.1-",
    "10.3": "tensorrt_cu12_bindings-10.3.0-",
    "10.16": "tensorrt_cu12_bindings-10.16.1.11-",
    "11.4": "tensorrt_cu13_bindings-11.4.0.106-",
}
_ASK = """
import importlib, json, sys
module = importlib.import_module(sys.argv[1])
def has(path):
    found = module
    for part in path.split('.'):
        found = getattr(found, part, None)
        if found is None:
            return False
    return True
print(json.dumps([path for path in json.load(sys.stdin) if has(path)]))
"""


def members() -> dict[str, list[str]]:
    """Member -> the releases that have it."""
    table: dict[str, list[str]] = tomllib.loads(TABLE.read_text())
    return table


def asked(module: str, names: Iterable[str], *, path: Path | None = None, libraries: Path | None = None) -> set[str]:
    """Which of these members a module has, asked in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    if libraries:
        environment["LD_LIBRARY_PATH"] = str(libraries)
    done = subprocess.run(
        [sys.executable, "-c", _ASK, module],
        input=json.dumps(sorted(names)), env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(json.loads(done.stdout))


def _asked_wheel(wheel: Path, names: Iterable[str], folder: Path) -> set[str]:
    zipfile.ZipFile(wheel).extractall(folder)
    extension = folder / "tensorrt_bindings" / "tensorrt.so"
    libraries = folder / "empty"
    libraries.mkdir()
    functions = [
        line.split()[-1]
        for line in _output("nm", "-D", "--undefined-only", extension)
        if "@" not in line and line.split()[-1].startswith(("create", "get", "init", "_ZN"))
    ]
    source = "".join(
        f'void* f{i}(void) __asm__("{name}"); void* f{i}(void) {{ return 0; }}\n' for i, name in enumerate(functions)
    )
    for line in _output("readelf", "-d", extension):
        if "(NEEDED)" in line and (name := line.split("[")[1].rstrip("]")).startswith("libnv"):
            command = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", libraries / name, f"-Wl,-soname,{name}"]
            subprocess.run(command, input=source or "int nothing;", text=True, check=True)
            source = ""  # each function in one library
    return asked("tensorrt_bindings", names, path=folder, libraries=libraries)


def _output(*command: str | Path) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def main(wheels: list[Path]) -> None:
    names = {use.member for use in uses()}
    found: dict[str, set[str]] = {}
    for release, start in _WHEELS.items():
        (wheel,) = [path for path in wheels if path.name.startswith(start)]
        with tempfile.TemporaryDirectory() as folder:
            found[release] = _asked_wheel(wheel, names, Path(folder))
    found[RTX] = asked("tensorrt_rtx", names)
    lines = [
        "# Written by tests/tensorrt/api_members.py, which says from what. Members that the plugin uses, no others."
    ]
    lines += [
        f"{json.dumps(name)} = {json.dumps([release for release, has in found.items() if name in has])}"
        for name in sorted(names)
    ]
    TABLE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
