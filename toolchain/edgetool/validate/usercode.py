"""Calls functions of the user's own modules without leaving a trace of them in the interpreter."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from edgetool.errors import ConfigError, EdgetoolError
from edgetool.validate.opened import module_sources

_SPEC = re.compile(r"([A-Za-z_]\w*(?:[./][A-Za-z_]\w*)*?)(?:\.py)?:([A-Za-z_]\w*)")
_END = object()

T = TypeVar("T")


def is_function_spec(text: str) -> bool:
    """True for `module:function`, also written `folder/module.py:function`."""
    return _SPEC.fullmatch(text) is not None


class UserFunction:
    """One `module:function`, looked for in a folder first and among the installed packages second.

    The folder is on `sys.path`, and the user's modules are in `sys.modules`, only while their code runs; what
    they print goes to stderr. No byte code is written beside them: it would be taken for current after an edit
    within the same second.

    Args:
        spec: `module:function`.
        root: folder that the module is found from.

    Raises:
        ConfigError: the module or the function does not exist, or importing it fails.
    """

    def __init__(self, spec: str, *, root: Path) -> None:
        match = _SPEC.fullmatch(spec)
        if match is None:
            raise ConfigError("bad-function-spec", f"{spec!r} is not module:function", hint="write e.g. 'mydata:load'")
        self.spec = spec
        self._root = root.resolve()
        self._modules: dict[str, ModuleType] = {}
        self._module = match[1].replace("/", ".")
        self._function = self._find(self._module, match[2])

    @property
    def files(self) -> tuple[Path, ...]:
        """Source files of the user's modules that were imported so far."""
        return module_sources(list(self._modules.values()))

    def call(self, *arguments: object) -> object:
        """Call it. Whatever it raises becomes a `ConfigError` that names the user's own line."""
        return self._run(lambda: self._function(*arguments))

    def iterate(self) -> Iterator[object]:
        """Call it without arguments and walk through what it returns, item by item."""
        result = self.call()
        if isinstance(result, (str, bytes, dict)) or not hasattr(result, "__iter__"):
            raise ConfigError(
                "bad-data-function",
                f"{self.spec} returned {type(result).__name__}, not an iterable of samples",
                hint="yield {input name: array}, or ({input name: array}, label), once a sample",
            )
        iterator: Iterator[object] = self._run(lambda: iter(result))
        while (item := self._run(lambda: next(iterator, _END))) is not _END:
            yield item

    def _find(self, module_name: str, function_name: str) -> Callable[..., object]:
        try:
            with self.active():
                module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not (module_name + ".").startswith(error.name + "."):
                raise self._blamed(error, "importing") from error
            raise ConfigError(
                "user-function-not-found",
                f"there is no module {error.name!r}, neither in this folder nor installed",
                where=str(self._root),
                hint=_did_you_mean(error.name, [path.stem for path in self._root.glob("*.py")]),
            ) from error
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            raise self._blamed(error, "importing") from error
        function = getattr(module, function_name, None)
        if not callable(function):
            names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
            raise ConfigError(
                "user-function-not-found",
                f"module {module_name!r} has no function {function_name!r}",
                where=getattr(module, "__file__", None) or module_name,
                hint=_did_you_mean(function_name, names),
            )
        return function  # type: ignore[no-any-return] # callable() cannot tell the type checker more

    def _run(self, work: Callable[[], T]) -> T:
        try:
            with self.active():
                return work()
        except EdgetoolError:
            raise
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            raise self._blamed(error, "running") from error

    def _blamed(self, error: BaseException, doing: str) -> ConfigError:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).is_relative_to(self._root)]
        where = f"{own[-1].filename}:{own[-1].lineno}" if own else str(self._root)
        if isinstance(error, SyntaxError) and error.filename:
            where = f"{error.filename}:{error.lineno}"
        text = str(error).strip().splitlines()
        return ConfigError(
            "user-function-failed",
            f"{doing} {self.spec} raised {type(error).__name__}" + (f": {text[0]}" if text else ""),
            where=where,
            hint="run it by itself to see the whole traceback",
        )

    @contextmanager
    def active(self) -> Iterator[None]:
        """The interpreter as the user's code wants it, and afterwards as it was before."""
        path, no_bytecode = list(sys.path), sys.dont_write_bytecode
        before = set(sys.modules)
        shadowing = {name: sys.modules[name] for name in before if self._shadows(name)}
        for name in shadowing:
            del sys.modules[name]
        sys.modules.update(self._modules)
        sys.path.insert(0, str(self._root))
        sys.dont_write_bytecode = True
        importlib.invalidate_caches()
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        finally:
            new = sys.modules.keys() - (before - shadowing.keys())
            # All are looked at before any goes: a namespace package finds its path through its parent.
            for name in [name for name in new if self._is_own(name)]:
                self._modules[name] = sys.modules.pop(name)
            sys.modules.update(shadowing)
            sys.path[:] = path
            sys.dont_write_bytecode = no_bytecode

    def _shadows(self, name: str) -> bool:
        """True for a module from elsewhere that has taken the name of the one we were asked for."""
        top = self._module.partition(".")[0]
        if name.partition(".")[0] != top or self._is_own(name):
            return False
        return (self._root / f"{top}.py").is_file() or (self._root / top).is_dir()

    def _is_own(self, name: str) -> bool:
        """True for modules that were found in the folder itself, not on another path that happens to lie below it."""
        module = sys.modules[name]
        top = f"{self._root}/{name.partition('.')[0]}"
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
        return any(f"{place}/".startswith((f"{top}/", f"{top}.")) for place in places)


def _did_you_mean(name: str, choices: list[str]) -> str | None:
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"it has {', '.join(sorted(choices)[:8])}" if choices else None
