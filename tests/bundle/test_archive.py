"""Archives restore every byte of a bundle, are small where values repeat, and harm nobody who opens a hostile one."""

from __future__ import annotations

import json
import lzma
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgetool.bundle
from edgetool.bundle.archive import Archived, write_archive
from edgetool.bundle.archive_index import FOOTER, MAGIC, MAX_SEGMENT, files_of, read_index
from edgetool.bundle.archive_restore import name_in, restore_bundle
from edgetool.bundle.read import Bundle, read_bundle
from edgetool.bundle.verify import verify
from edgetool.bundle.write import write_bundle
from edgetool.errors import ConfigError, HostError, IntegrityError

from .samples import contents  # noqa: TID252 # tests are no package to import from

Array = np.ndarray[Any, Any]


def bundle_of(data: bytes, folder: Path) -> Bundle:
    """A bundle whose engine holds these bytes."""
    given = contents(folder / "parts")
    (given.engine / "data" / "weights.bin").write_bytes(data)
    return read_bundle(write_bundle(folder / "net.edgebundle", given).path)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def packed_size(data: bytes, folder: Path) -> int:
    """What the engine's bytes take in an archive, after a check that they come back."""
    bundle = bundle_of(data, folder)
    done = write_archive(bundle, folder / "net.edgearchive")
    restore_bundle(done.path, folder / "restored")
    assert tree(folder / "restored") == tree(bundle.path)
    with done.path.open("rb") as file:
        streams = sum(sum(segment.streams) for segment in read_index(file).segments)
    (share,) = [share for share in done.shares if share.path == "model/data/weights.bin"]
    return max(streams, share.packed)


# ------------------------------------------------------------------------------------------------- what comes back


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    generator = np.random.default_rng(3)
    palette = generator.normal(size=16).astype(np.float32)
    return bundle_of(b"head" + palette[generator.integers(0, 16, 9000)].tobytes(), tmp_path)


@pytest.fixture
def archived(bundle: Bundle, tmp_path: Path) -> Archived:
    return write_archive(bundle, tmp_path / "net.edgearchive")


def test_every_byte_comes_back(bundle: Bundle, archived: Archived, tmp_path: Path) -> None:
    index = restore_bundle(archived.path, tmp_path / "restored")
    assert tree(tmp_path / "restored") == tree(bundle.path)
    outcome = verify(tmp_path / "restored", digest=bundle.content_digest)
    assert outcome.sound
    assert index.content_digest == archived.content_digest == outcome.content_digest
    assert name_in(archived.path) == "net.edgebundle"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_equal_bundles_give_equal_bytes_wherever_they_lie(bundle: Bundle, archived: Archived, tmp_path: Path) -> None:
    shutil.copytree(bundle.path, tmp_path / "elsewhere" / "net.edgebundle")
    again = write_archive(read_bundle(tmp_path / "elsewhere" / "net.edgebundle"), tmp_path / "other.edgearchive")
    assert again.path.read_bytes() == archived.path.read_bytes()
    assert archived.size == archived.path.stat().st_size


def test_the_shares_name_every_file_and_add_up(bundle: Bundle, archived: Archived) -> None:
    assert {share.path: share.size for share in archived.shares} == {
        path: len(data) for path, data in tree(bundle.path).items()
    }
    assert sum(share.packed for share in archived.shares) <= archived.size


def test_a_device_needs_nothing_but_python(bundle: Bundle, archived: Archived, tmp_path: Path) -> None:
    source = Path(edgetool.bundle.__file__).parent
    there = tmp_path / "device" / "edgetool" / "bundle"
    there.mkdir(parents=True)
    shutil.copy(source.parent / "__init__.py", there.parent)
    for name in ("__init__.py", "verify.py", "archive_index.py", "unpack.py"):
        shutil.copy(source / name, there)

    def unpack(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-S", "-m", "edgetool.bundle.unpack", *arguments]
        return subprocess.run(command, cwd=tmp_path / "device", capture_output=True, text=True, check=False)

    done = unpack(str(archived.path), "restored")
    assert (done.returncode, done.stderr) == (0, "")
    assert bundle.content_digest in done.stdout
    assert tree(tmp_path / "device" / "restored") == tree(bundle.path)
    assert unpack(str(archived.path), "restored").returncode == 2  # it is there already
    assert unpack(str(archived.path), "small", "--max-size", "100").returncode == 7
    assert not (tmp_path / "device" / "small").exists()


# --------------------------------------------------------------------------------------------------- how small it is


def entropy_bytes(symbols: Array) -> float:
    counts = np.unique(symbols, return_counts=True)[1]
    return float(-(counts * np.log2(counts / counts.sum())).sum() / 8)


def palette_of(count: int, kind: str, generator: np.random.Generator) -> Array:
    return np.unique(generator.normal(size=4 * count).astype(kind))[:count]


@pytest.mark.parametrize(("kind", "offset"), [("float32", 0), ("float32", 3), ("float16", 1)])
def test_palettes_take_their_entropy_wherever_they_begin(kind: str, offset: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    normal = generator.normal(size=60_000)
    indices = np.clip(np.rint(normal * 2) + 8, 0, 15).astype(np.int64)
    data = b"x" * offset + palette_of(16, kind, generator)[indices].tobytes()
    assert packed_size(data, tmp_path) < 1.04 * entropy_bytes(indices) + 300


def test_neighbours_with_palettes_of_their_own(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    indices = [generator.integers(0, 16, 30_000) for _ in range(4)]
    data = b"".join(palette_of(16, "float32", generator)[part].tobytes() + b"gap" for part in indices)
    assert packed_size(data, tmp_path) < 1.04 * sum(map(entropy_bytes, indices)) + 1000


def test_pruned_palettes_take_less_than_a_bit(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    indices = generator.integers(1, 17, 100_000) * (generator.random(100_000) < 0.1)
    values = np.append(np.float32(0), palette_of(16, "float32", generator))[indices]
    assert packed_size(values.tobytes(), tmp_path) < 1.04 * entropy_bytes(indices) + 300


def test_pruned_floats_take_what_is_left(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    kept = generator.random(100_000) < 0.1
    values = np.where(kept, generator.normal(size=100_000), 0).astype(np.float32)
    assert packed_size(values.tobytes(), tmp_path) < 0.95 * 4 * kept.sum() + 1.04 * entropy_bytes(kept)


def test_integers_take_their_entropy(tmp_path: Path) -> None:
    values = np.clip(np.rint(np.random.default_rng(4).normal(size=100_000) * 20), -127, 127).astype(np.int8)
    assert packed_size(values.tobytes(), tmp_path) < 1.03 * entropy_bytes(values) + 300


def test_plain_floats_are_no_larger_than_xz_makes_them(tmp_path: Path) -> None:
    data = np.random.default_rng(5).normal(size=100_000).astype(np.float32).tobytes()
    assert packed_size(data, tmp_path) < 0.97 * len(lzma.compress(data, preset=9))


def mixture(seed: int) -> bytes:
    """Stretches of all kinds and lengths, one behind the other."""
    generator = np.random.default_rng(seed)
    makers: list[Callable[[int], bytes]] = [
        lambda n: generator.bytes(n),
        lambda n: bytes(n),
        lambda n: generator.normal(size=n).astype(np.float32).tobytes(),
        lambda n: generator.normal(size=n).astype(np.float16).tobytes(),
        lambda n: palette_of(5, "float32", generator)[generator.integers(0, 5, n)].tobytes(),
        lambda n: palette_of(200, "float16", generator)[generator.integers(0, 200, n)].tobytes(),
        lambda n: (generator.normal(size=n) * (generator.random(n) < 0.003)).astype(np.float32).tobytes(),
        lambda n: b"one line like the others\n" * (n // 20),
        lambda n: np.where(generator.random(n) < 0.9, np.float32(-0.0), np.float32(np.nan)).tobytes(),
    ]
    sizes = generator.choice([1, 7, 3000, 9000, 20_000], 12)
    return b"".join(makers[generator.integers(len(makers))](int(size)) for size in sizes)


@pytest.mark.parametrize("seed", range(12))
def test_mixtures_come_back(seed: int, tmp_path: Path) -> None:
    packed_size(mixture(seed), tmp_path)


@pytest.mark.parametrize("data", [b"", b"\0", bytes(8191), bytes(8192), bytes(MAX_SEGMENT + 5)])
def test_ends_of_cells_and_windows(data: bytes, tmp_path: Path) -> None:
    assert packed_size(data, tmp_path) < 400


# -------------------------------------------------------------------------------------------- damage and hostility


def test_damage_is_noticed_wherever_it_is(archived: Archived, tmp_path: Path) -> None:
    whole = archived.path.read_bytes()
    broken = tmp_path / "broken.edgearchive"
    versions = [whole[:-1], whole[:100], whole + b"\0", b"", b"PK\3\4 a zip", MAGIC]
    versions += [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(0, len(whole), 97)]
    for version in versions:
        broken.write_bytes(version)
        with pytest.raises(IntegrityError) as caught:
            restore_bundle(broken, tmp_path / "restored")
        assert (caught.value.code, caught.value.exit_code) == ("archive-damaged", 7)
    assert not (tmp_path / "restored").exists()


def forged(path: Path, document: dict[str, Any], *, data: bytes = b"", rest: bytes = b"") -> Path:
    """An archive with a right hash and whatever else somebody wants it to hold."""
    stream = lzma.compress(rest)
    index = lzma.compress(json.dumps({"rest": len(stream), **document}).encode())
    body = MAGIC + data + stream + index
    body += FOOTER.pack(len(MAGIC) + len(data) + len(stream), len(index), b"")[:-32]
    path.write_bytes(body + sha256(body).digest())
    return path


def document(*segments: dict[str, Any], path: str = "file", size: int = 10, **changes: object) -> dict[str, Any]:
    files = [{"path": path, "size": size}]
    return {"schema_version": 1, "name": "n", "content_digest": "0", "files": files, "segments": segments, **changes}


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


BOMB = deflated(bytes(64 << 20))
TEN = deflated(bytes(10))
PLAIN = {"size": 10}
WORDS = {"size": 10, "width": 1, "streams": [len(TEN)]}

HOSTILE: dict[str, tuple[dict[str, Any], bytes, bytes]] = {
    "leads out": (document(PLAIN, path="../file"), b"", bytes(10)),
    "absolute": (document(PLAIN, path="/tmp/file"), b"", bytes(10)),
    "control characters": (document(PLAIN, path="a\x1b[2J"), b"", bytes(10)),
    "name leads out": (document(PLAIN, name="../n"), b"", bytes(10)),
    "file and folder": (
        document(PLAIN, PLAIN, files=[{"path": "a", "size": 10}, {"path": "a/b", "size": 10}]), b"", bytes(20),
    ),
    "twice": (document(PLAIN, PLAIN, files=[{"path": "a", "size": 10}] * 2), b"", bytes(20)),
    "negative": (document({"size": -10}, size=-10), b"", b""),
    "fraction": (document({"size": 10.0}), b"", bytes(10)),
    "no files": ({"schema_version": 1}, b"", b""),
    "other schema": ({**document(PLAIN), "schema_version": 2}, b"", bytes(10)),
    "over the end of a file": (document({"size": 20}), b"", bytes(20)),
    "too few segments": (document(), b"", b""),
    "too many segments": (document(PLAIN, PLAIN), b"", bytes(20)),
    "segment too large": (document({"size": MAX_SEGMENT + 1}, size=MAX_SEGMENT + 1), b"", b""),
    "rest too short": (document(PLAIN), b"", bytes(9)),
    "rest too long": (document(PLAIN), b"", bytes(1 << 20)),
    "bomb in a stream": (document({**WORDS, "streams": [len(BOMB)]}), BOMB, b""),
    "stream too short": (document(WORDS), deflated(bytes(9)).ljust(len(TEN), b"\0"), b""),
    "stream behind the end": (document({**WORDS, "streams": [10**6]}), TEN, b""),
    "no deflate": (document({**WORDS, "streams": [4]}), b"\xff" * 4, b""),
    "width of three": (document({**WORDS, "width": 3}), TEN, b""),
    "half a word": (document({**WORDS, "width": 4, "streams": [1] * 4}), bytes(4), b""),
    "index behind the palette": (document({**WORDS, "palette": 1}), deflated(b"\1" * 10).ljust(len(TEN)), b"\0"),
    "gap behind the end": (
        document({"size": 10, "width": 1, "filled": 1, "streams": [3, 3]}),
        deflated(b"a") + deflated(b"\xff"), b"\0",
    ),
    "more gaps than words": (
        document({"size": 10, "width": 1, "filled": 11, "streams": [3, 3]}), TEN, b"\0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_are_refused_and_leave_nothing(case: str, tmp_path: Path) -> None:
    head, data, rest = HOSTILE[case]
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    archive = forged(tmp_path / "hostile.edgearchive", head, data=data, rest=rest)
    with pytest.raises(IntegrityError) as caught:
        restore_bundle(archive, inside / "restored")
    assert caught.value.code == "archive-damaged"
    assert caught.value.message.isprintable()
    assert tree(tmp_path).keys() == {"hostile.edgearchive"}


def test_what_comes_out_has_to_be_a_sound_bundle(tmp_path: Path) -> None:
    archive = forged(tmp_path / "n.edgearchive", document(PLAIN), rest=bytes(10))
    with pytest.raises(IntegrityError, match="manifest"):
        restore_bundle(archive, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def test_a_sound_bundle_under_another_digest_is_refused(archived: Archived, tmp_path: Path) -> None:
    with archived.path.open("rb") as file:
        index = read_index(file)
        parts = [
            {"size": s.size, "width": s.width, "palette": s.palette, "filled": s.filled, "streams": s.streams}
            for s in index.segments
        ]
        file.seek(len(MAGIC))
        data = file.read(index.end - index.rest - len(MAGIC))
        rest = lzma.decompress(file.read(index.rest))
    files = [{"path": file.path, "size": file.size} for file, _ in files_of(index)]
    same = forged(tmp_path / "same", {**document(*parts), "files": files, "content_digest": index.content_digest},
                  data=data, rest=rest)  # fmt: skip
    assert restore_bundle(same, tmp_path / "restored").size == index.size
    other = forged(tmp_path / "other", {**document(*parts), "files": files}, data=data, rest=rest)
    with pytest.raises(IntegrityError, match="digest"):
        restore_bundle(other, tmp_path / "other-bundle")


def test_what_wants_to_be_huge_is_refused_before_anything_is_written(
    archived: Archived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 1 << 15
    huge = document(*[{"size": MAX_SEGMENT}] * count, size=MAX_SEGMENT * count)
    with pytest.raises(ConfigError, match=str(MAX_SEGMENT * count)) as refused:
        restore_bundle(forged(tmp_path / "huge.edgearchive", huge), tmp_path / "restored")
    assert refused.value.code == "archive-too-large"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1000, 900, 100))  # type: ignore[attr-defined]
    with pytest.raises(HostError) as full:
        restore_bundle(archived.path, tmp_path / "restored")
    assert full.value.code == "disk-full"
    assert not (tmp_path / "restored").exists()


# ------------------------------------------------------------------------------------------------------- its place


def test_only_bundles_and_archives_make_room(bundle: Bundle, archived: Archived, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text.tex").write_text("years of work")
    with pytest.raises(ConfigError) as caught:
        restore_bundle(archived.path, tmp_path / "thesis")
    assert caught.value.code == "bundle-place-taken"
    (tmp_path / "link").symlink_to(archived.path)
    for taken in (tmp_path / "thesis" / "text.tex", tmp_path / "thesis", tmp_path / "link"):
        with pytest.raises(ConfigError) as caught:
            write_archive(bundle, taken)
        assert caught.value.code == "archive-place-taken"
    assert write_archive(bundle, archived.path).size == archived.size
    assert restore_bundle(archived.path, bundle.path).content_digest == bundle.content_digest


def test_a_damaged_archive_leaves_the_old_bundle(bundle: Bundle, archived: Archived) -> None:
    before = tree(bundle.path)
    archived.path.write_bytes(archived.path.read_bytes()[:-1])
    with pytest.raises(IntegrityError):
        restore_bundle(archived.path, bundle.path)
    assert tree(bundle.path) == before


def test_a_full_disk_ends_with_10_and_leaves_nothing(archived: Archived, tmp_path: Path) -> None:
    before = set(tree(tmp_path))
    for arguments in (["unpack", "net.edgearchive", "-o", "new"], ["archive", "net.edgebundle", "-o", "new"]):
        shell = f"ulimit -f 4; exec {sys.executable} -m edgetool {' '.join(arguments)}"  # files of 2 or 4 KiB at most
        done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, "error[disk-full]" in done.stderr) == (10, True), done.stderr
    assert set(tree(tmp_path)) == before


def test_command_line(bundle: Bundle, tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = run_cli("archive", bundle.path)
    assert done.returncode == 0, done.stderr
    assert "model/data/weights.bin" in done.stdout
    assert "times smaller" in done.stdout
    told = json.loads(run_cli("unpack", tmp_path / "net.edgearchive", "--output", tmp_path / "x", "--json").stdout)
    assert (told["bundle"], told["content_digest"]) == (str(tmp_path / "x"), bundle.content_digest)
    assert run_cli("verify", tmp_path / "x").returncode == 0
    missing = run_cli("unpack", tmp_path / "nothing")
    assert (missing.returncode, "error[archive-not-found]" in missing.stderr) == (2, True)
    damaged = tmp_path / "damaged"
    damaged.write_bytes((tmp_path / "net.edgearchive").read_bytes()[:-1])
    assert run_cli("unpack", damaged).returncode == 7
