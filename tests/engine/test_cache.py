"""The cache keeps what was complete, notices damage, and survives kills and crowds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgetool.engine.cache import Cache, make_key
from edgetool.engine.collect import collect_garbage, unreadable
from edgetool.engine.history import compare_builds, save_history
from edgetool.errors import ConfigError, HostError, IntegrityError


def _put(cache: Cache, step: str = "step", text: str = "bytes", **parts: object) -> str:
    key = make_key(step, parts)
    with cache.workspace() as folder:
        files = folder / "files"
        files.mkdir()
        (files / "sub").mkdir()
        (files / "sub" / "out.bin").write_text(text)
        cache.put(key, files, {"facts": {"n": 1}}, seconds=1.5)
    return key.digest


def test_round_trip(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    digest = _put(cache, option=3)
    entry = Cache(tmp_path).get(digest)
    assert entry is not None
    assert (entry.directory / "sub/out.bin").read_text() == "bytes"
    assert entry.result == {"facts": {"n": 1}}
    assert entry.parts == {"option": 3}
    assert entry.folder.stat().st_mode & 0o777 == 0o755
    assert list((cache.root / "tmp").iterdir()) == []


def test_unknown_key_is_none(tmp_path: Path) -> None:
    assert Cache(tmp_path).get("0" * 64) is None


def test_key_depends_on_every_part() -> None:
    keys = {
        make_key(step, parts).digest
        for step, parts in [("a", {"x": 1}), ("b", {"x": 1}), ("a", {"x": 2}), ("a", {"y": 1}), ("a", {"x": "1"})]
    }
    assert len(keys) == 5
    assert all(len(key) == 64 for key in keys)
    assert make_key("a", {"x": 1, "y": 2}).digest == make_key("a", {"y": 2, "x": 1}).digest


def test_truncated_file_is_an_integrity_error(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    digest = _put(cache)
    entry = cache.get(digest)
    assert entry is not None
    (entry.directory / "sub/out.bin").write_text("byte")
    with pytest.raises(IntegrityError, match=r"sub/out\.bin"):
        cache.get(digest)


def test_flipped_byte_is_found_by_check_and_collected(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    digest = _put(cache)
    _put(cache, text="other", option=2)
    entry = cache.get(digest)
    assert entry is not None
    (entry.directory / "sub/out.bin").write_text("bytez")
    assert cache.check(entry) == ("sub/out.bin",)
    removed = collect_garbage(cache, max_size=10**9, max_age=None, damaged=True)
    assert removed.entries == 1
    assert cache.get(digest) is None
    assert len(list(cache.entries())) == 1


def test_unreadable_record_is_an_integrity_error_and_collected(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    digest = _put(cache)
    record = cache.root / "entries" / digest[:2] / digest / "entry.json"
    record.write_text(record.read_text()[:40])
    with pytest.raises(IntegrityError):
        cache.get(digest)
    assert unreadable(cache) == [str(record.parent)]
    collect_garbage(cache, max_size=10**9, max_age=None, damaged=True)
    assert cache.get(digest) is None


def test_collection_removes_the_longest_unused_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    old, young = _put(cache, text="x" * 100, n=1), _put(cache, text="y" * 100, n=2)
    os.utime(cache.root / "entries" / old[:2] / old, (1, 1))
    removed = collect_garbage(cache, max_size=150, max_age=None, damaged=False)
    assert (removed.entries, removed.bytes) == (1, 100)
    assert cache.get(old) is None
    assert cache.get(young) is not None


def test_workspace_of_a_killed_process_is_cleared(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from edgetool.engine.cache import Cache\n"
        "with Cache(pathlib.Path(sys.argv[1])).workspace() as folder:\n"
        "    (folder / 'half').write_text('half'); print(folder, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    os.utime(folder, (1, 1))
    cache = Cache(tmp_path)
    assert cache.clear_abandoned() == 0, "its owner is alive"
    process.kill()
    process.wait()
    process.stdout.close()
    assert (folder / "half").exists()
    os.utime(folder, (1, 1))
    assert cache.clear_abandoned() == 1
    assert not folder.exists()


def test_one_of_eight_processes_makes_an_entry(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from edgetool.engine.cache import Cache, make_key\n"
        "cache = Cache(pathlib.Path(sys.argv[1])); key = make_key('slow', {})\n"
        "with cache.lock(key.digest, lambda: None):\n"
        "    if cache.get(key.digest) is None:\n"
        "        with cache.workspace() as folder:\n"
        "            (folder / 'files').mkdir(); time.sleep(0.2)\n"
        "            cache.put(key, folder / 'files', {}, seconds=0.2)\n"
        "        print('made')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    output = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    assert output.count("made\n") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission_is_a_host_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(HostError, match="cannot write"), Cache(tmp_path / "cache").workspace():
        pass


def test_full_device_is_a_host_error(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.root.mkdir(parents=True)
    (cache.root / "tmp").symlink_to("/dev/full")
    with pytest.raises(HostError), cache.workspace():
        pass


def test_why_names_the_parts_that_differ(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    save_history(cache, "ort", [make_key("import", {"input": "a"}), make_key("build", {"options": {"level": 1}})])
    save_history(cache, "ort", [make_key("import", {"input": "a"}), make_key("build", {"options": {"level": 2}})])
    assert compare_builds(cache, "ort") == {"import": {}, "build": {"options.level": ("1", "2")}}
    with pytest.raises(ConfigError, match="not built"):
        compare_builds(cache, "jetson")


def test_repeating_a_build_keeps_the_one_before(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for level in (1, 2, 2):
        save_history(cache, "ort", [make_key("build", {"level": level})])
    assert compare_builds(cache, "ort") == {"build": {"level": ("1", "2")}}


def test_entries_carry_no_absolute_path(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    digest = _put(cache)
    record = json.loads((cache.root / "entries" / digest[:2] / digest / "entry.json").read_text())
    assert str(tmp_path) not in json.dumps(record)
    assert record["created"] <= time.time()
