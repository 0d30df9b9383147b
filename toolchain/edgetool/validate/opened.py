"""Which files a stretch of Python code opens for reading: what a result depends on besides its arguments."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType

import edgetool

_CODE_SUFFIXES = frozenset({".py", ".pyc", ".pyi", ".so", ".pth", ".typed"})
_NOT_FILES = ("/proc/", "/sys/", "/dev/")
_WRITING = os.O_WRONLY | os.O_RDWR


@dataclass
class OpenedFiles:
    """Filled while `record_opened` is active. Only what Python itself opens is seen, not what a C library opens.

    Attributes:
        files: absolute, existing, in order of first use; not the code of the interpreter's installation.
        folders: those whose contents were listed.
    """

    files: dict[Path, None] = field(default_factory=dict)
    folders: dict[Path, None] = field(default_factory=dict)


@contextmanager
def record_opened() -> Iterator[OpenedFiles]:
    """Record what is opened inside the `with` block, by any thread.

    An audit hook cannot be removed again, so an ended one stays behind and does nothing.
    """
    opened = OpenedFiles()
    raw_files: dict[str, None] = {}
    raw_folders: dict[str, None] = {}
    active = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if not active:
            return
        if event == "open":
            path, mode, flags = arguments
            if isinstance(path, (str, bytes, os.PathLike)) and not _writes(mode, flags):
                raw_files[os.path.abspath(os.fsdecode(path))] = None  # noqa: PTH100 # pathlib opens nothing, but is slow here
        elif event in ("os.listdir", "os.scandir") and not _is_import(sys._getframe(1)):
            path = arguments[0]
            if path is None or isinstance(path, (str, bytes, os.PathLike)):
                raw_folders[os.path.abspath(os.fsdecode(path or "."))] = None  # noqa: PTH100 # as above

    sys.addaudithook(hook)
    modules_before = set(sys.modules)
    try:
        yield opened
    finally:
        active = False
        imported = [sys.modules[name] for name in sys.modules.keys() - modules_before]
        for path in (*raw_files, *_sources(imported)):
            _note_file(opened, path)
        for folder in raw_folders:
            if not folder.startswith(_NOT_FILES) and not _installed(folder) and Path(folder).is_dir():
                opened.folders[Path(folder)] = None


def _is_import(frame: FrameType) -> bool:
    """Whether Python itself looks for a module: what else lies in that folder is none of the result's business."""
    return frame.f_code.co_filename.startswith("<frozen importlib")


def module_sources(modules: list[ModuleType]) -> tuple[Path, ...]:
    """The source files of modules, without those of the interpreter's installation."""
    opened = OpenedFiles()
    for path in _sources(modules):
        _note_file(opened, path)
    return tuple(opened.files)


def _sources(modules: list[ModuleType]) -> list[str]:
    return [file for module in modules if isinstance(file := getattr(module, "__file__", None), str)]


def _note_file(opened: OpenedFiles, path: str) -> None:
    if path.endswith(".pyc"):
        with contextlib.suppress(ValueError):  # a .pyc that stands alone
            path = importlib.util.source_from_cache(path)
    if path.startswith(_NOT_FILES):
        return
    if Path(path).suffix in _CODE_SUFFIXES and _installed(path):
        return
    if Path(path).is_file():
        opened.files[Path(path)] = None


def _writes(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & _WRITING)


def _installed(path: str) -> bool:
    return path.startswith(_installation())


@functools.cache
def _installation() -> tuple[str, ...]:
    """Folders of installed code: their versions, not their bytes, stand for them."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {sysconfig.get_path(name) for name in names} | set(site.getsitepackages()) | {site.getusersitepackages()}
    folders.add(os.path.dirname(os.path.abspath(edgetool.__file__)))  # noqa: PTH100, PTH120 # plain strings throughout
    return tuple(folder.rstrip("/") + "/" for folder in sorted(folders | {os.path.realpath(f) for f in folders}))
