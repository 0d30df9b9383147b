"""Children: what they answer, and what is said when they crash, hang, eat the memory or are interrupted."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgetool.engine.isolate import Answer, Child, Children, Limits
from edgetool.errors import ConfigError, HostError, InterruptedByUserError, UnavailableError

PASS = """
import ctypes, os, time
from edgetool.passes import Pass, PassOptions, PassResult

class Options(PassOptions):
    do: str

class Act(Pass[Options]):
    Options = Options

    def apply(self, model, workdir, context):
        context.progress(1, 2, "acts")
        context.note("about to act")
        match self.options.do:
            case "crash": ctypes.string_at(0)
            case "abort": os.abort()
            case "exit": os._exit(3)
            case "hang": time.sleep(60)
            case "spawn-and-hang": os.system("sleep 61")
            case "eat": x = bytearray(8 << 30)
            case "raise": raise ValueError("two\\nlines")
            case "full": raise OSError(28, "No space left on device", "/some/file")
            case "write":
                import onnx
                proto = onnx.load(model.path)
                proto.doc_string = "changed"
                onnx.save(proto, model.path)
            case "lie": return PassResult(model=type(model)(workdir / "x.onnx", model.signature), changed=False)
            case "chatter": print("native chatter" * 1000); os.write(1, b"{not json}\\n")
        return PassResult(model=model, changed=False)
"""


@pytest.fixture
def heard() -> list[tuple[Any, ...]]:
    return []


@pytest.fixture
def request_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    from edgetool.engine.conversion import PassTask
    from edgetool.engine.requests import ModelFile, Plug, request_json
    from edgetool.testing.models import tiny_mlp

    (tmp_path / "acting_pass.py").write_text(PASS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    model = tiny_mlp(tmp_path)
    (tmp_path / "work").mkdir()
    task = PassTask(
        Plug("acting_pass:Act", {"do": "?"}), "act", ModelFile(model.path, model.signature), tmp_path / "work", 1
    )
    return request_json(task)


@pytest.fixture
def children() -> Iterator[Children]:
    group = Children()
    yield group
    group.interrupt()


def _act(child: Child, request: dict[str, Any], do: str, heard: list[tuple[Any, ...]]) -> dict[str, Any]:
    request["plug"]["options"]["do"] = do
    answer = Answer(progress=lambda *row: heard.append(row), note=lambda text: heard.append((text,)))
    return child.call("pass", request, step="act", answer=answer)


def _start(children: Children, tmp_path: Path, *, seconds: float = 60, memory: int | None = None) -> Child:
    return children.start(log=tmp_path / "log", limits=Limits(seconds=seconds, memory=memory))


def test_answers_progress_and_notes(children, tmp_path, request_json, heard) -> None:  # type: ignore[no-untyped-def]
    with _start(children, tmp_path) as child:
        assert _act(child, request_json, "nothing", heard) == {"changed": False, "facts": {}}
        assert heard == [(1, 2, "acts"), ("about to act",)]
        assert _act(child, request_json, "chatter", heard)["changed"] is False
    assert "native chatter" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("do", "error", "code", "words"),
    [
        ("crash", UnavailableError, "step-crashed", "SIGSEGV"),
        ("abort", UnavailableError, "step-crashed", "SIGABRT"),
        ("exit", UnavailableError, "step-crashed", "exit status 3"),
        ("raise", UnavailableError, "plugin-failed", "ValueError: two"),
        ("full", HostError, "disk-full", "no room"),
        ("write", UnavailableError, "plugin-broke-promise", "modified its input"),
        ("lie", UnavailableError, "plugin-broke-promise", "nothing changed"),
    ],
)
def test_failures_have_names(children, tmp_path, request_json, heard, do, error, code, words) -> None:  # type: ignore[no-untyped-def]
    with _start(children, tmp_path) as child, pytest.raises(error, match=words) as caught:
        _act(child, request_json, do, heard)
    assert caught.value.code == code


def test_crash_names_the_line_and_the_log(children, tmp_path, request_json, heard) -> None:  # type: ignore[no-untyped-def]
    with _start(children, tmp_path) as child, pytest.raises(UnavailableError) as caught:
        _act(child, request_json, "crash", heard)
    assert caught.value.where == str(tmp_path / "log")
    assert "acting_pass.py" in (tmp_path / "log").read_text()


def test_hang_is_ended_with_all_that_it_started(children, tmp_path, request_json, heard) -> None:  # type: ignore[no-untyped-def]
    started = time.monotonic()
    with _start(children, tmp_path, seconds=3) as child, pytest.raises(HostError, match="3 s") as caught:
        _act(child, request_json, "spawn-and-hang", heard)
    assert caught.value.code == "step-timed-out"
    assert time.monotonic() - started < 20
    time.sleep(0.2)
    assert not any(b"sleep\x0061" in _command_line(pid) for pid in Path("/proc").glob("[0-9]*"))


def test_memory_limit_is_a_host_error(children, tmp_path, request_json, heard) -> None:  # type: ignore[no-untyped-def]
    with _start(children, tmp_path, memory=4 << 30) as child, pytest.raises(HostError) as caught:
        _act(child, request_json, "eat", heard)
    assert caught.value.code == "out-of-memory"
    assert caught.value.exit_code == 10


def test_kill_from_outside_is_a_host_error(children, tmp_path, request_json, heard) -> None:  # type: ignore[no-untyped-def]
    with _start(children, tmp_path) as child:
        threading.Timer(1.5, lambda: os.kill(child._process.pid, signal.SIGKILL)).start()
        with pytest.raises(HostError) as caught:
            _act(child, request_json, "hang", heard)
    assert caught.value.code == "step-killed"


def test_interrupt_ends_the_call_and_refuses_new_children(children, tmp_path, request_json, heard) -> None:  # type: ignore[no-untyped-def]
    with _start(children, tmp_path) as child:
        threading.Timer(1.5, children.interrupt).start()
        with pytest.raises(InterruptedByUserError):
            _act(child, request_json, "hang", heard)
    with pytest.raises(InterruptedByUserError):
        _start(children, tmp_path)


def test_child_dies_with_its_parent(tmp_path) -> None:  # type: ignore[no-untyped-def]
    import subprocess

    code = (
        "import sys, time, pathlib; from edgetool.engine.isolate import Children, Limits\n"
        "child = Children().start(log=pathlib.Path(sys.argv[1]), limits=Limits(60))\n"
        "print(child._process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    time.sleep(1.0)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline and not _is_zombie(pid):
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists() or _is_zombie(pid)


def test_missing_interpreter_is_named(children, tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UnavailableError, match="cannot start") as caught:
        children.start(log=tmp_path / "log", limits=Limits(5), python="/nowhere/python")
    assert caught.value.code == "interpreter-missing"


def test_errors_cross_the_boundary_whole(children, tmp_path, request_json, heard) -> None:  # type: ignore[no-untyped-def]
    request_json["calibration"] = {"spec": "nowhere", "root": str(tmp_path), "role": "calibration"}
    with _start(children, tmp_path) as child, pytest.raises(ConfigError) as caught:
        _act(child, request_json, "nothing", heard)
    assert caught.value.code == "data-not-found"
    assert caught.value.where == str(tmp_path / "nowhere")


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_peak_memory_is_the_child_s_own() -> None:
    """A child starts with its parent's figure in `getrusage`; an engine must not be blamed for that."""
    import subprocess

    ballast = bytearray(os.urandom(1 << 20) * 400)
    code = "from edgetool.engine.memory import peak_resident; print(peak_resident())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(ballast) > int(done.stdout) > 1 << 20


def test_every_task_is_found_where_it_is_said_to_be() -> None:
    from edgetool.engine.tasks import MODULES, handler_of

    for module, tasks in MODULES.items():
        assert set(importlib.import_module(module).TASKS) == set(tasks)
        assert all(callable(handler_of(task)) for task in tasks)
