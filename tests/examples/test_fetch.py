"""Files out of packages: unpacked, verified, and refused with one line. Archives are made here, nothing is fetched."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from examples.fetch import FetchError, Package, digest, fetch

WHEEL = Package("pypi", "animals", "1.0")
NPM = Package("npm", "animals", "1.0")
DEBIAN = Package("debian", "animals", "1.0")

CAT, DOG = ("animals/cat.txt", b"meow"), ("animals/deep/dog.txt", b"woof")


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


@pytest.fixture
def wheel(downloads: Path) -> Path:
    """The archive of WHEEL, as if it had been downloaded."""
    path = downloads / "pypi" / "animals-1.0.archive" / "animals-1.0-py3-none-any.whl"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (DOG, CAT, ("animals/readme.md", b"")):
            archive.writestr(name, content)
    return path


@pytest.mark.usefixtures("wheel")
def test_only_matching_files_are_unpacked_in_the_order_of_their_names(downloads: Path) -> None:
    paths = fetch(WHEEL, "animals/*.txt", sha256=digest([CAT, DOG]), downloads=downloads)

    assert [path.read_bytes() for path in paths] == [b"meow", b"woof"]
    assert not list(downloads.rglob("readme.md"))


@pytest.mark.usefixtures("wheel")
def test_several_patterns_give_one_sorted_list(downloads: Path) -> None:
    patterns = ("animals/deep/dog.txt", "animals/cat.txt")
    paths = fetch(WHEEL, *patterns, sha256=digest([CAT, DOG]), downloads=downloads)

    assert [path.name for path in paths] == ["cat.txt", "dog.txt"]


def test_the_second_call_does_not_need_the_archive(downloads: Path, wheel: Path) -> None:
    first = fetch(WHEEL, "animals/cat.txt", sha256=digest([CAT]), downloads=downloads)
    wheel.write_bytes(b"broken")

    assert fetch(WHEEL, "animals/cat.txt", sha256=digest([CAT]), downloads=downloads) == first


@pytest.mark.usefixtures("wheel")
def test_a_file_that_was_changed_is_unpacked_again(downloads: Path) -> None:
    (cat,) = fetch(WHEEL, "animals/cat.txt", sha256=digest([CAT]), downloads=downloads)
    cat.write_bytes(b"moo")

    (again,) = fetch(WHEEL, "animals/cat.txt", sha256=digest([CAT]), downloads=downloads)
    assert again.read_bytes() == b"meow"


@pytest.mark.usefixtures("wheel")
def test_other_bytes_than_expected_are_refused_with_both_hashes(downloads: Path) -> None:
    with pytest.raises(FetchError, match=r"animals 1\.0: animals/cat\.txt: wants sha256 f00d, got [0-9a-f]{64}"):
        fetch(WHEEL, "animals/cat.txt", sha256="f00d", downloads=downloads)


@pytest.mark.usefixtures("wheel")
def test_a_pattern_that_matches_nothing_is_refused(downloads: Path) -> None:
    with pytest.raises(FetchError, match="got None"):
        fetch(WHEEL, "animals/cow.txt", sha256="f00d", downloads=downloads)


def test_an_npm_archive_cannot_write_outside_its_folder(downloads: Path) -> None:
    path = downloads / "npm" / "animals-1.0.archive" / "animals-1.0.tgz"
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("../../../escaped.txt")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))

    with pytest.raises(tarfile.OutsideDestinationError):
        fetch(NPM, "*escaped.txt", sha256="f00d", downloads=downloads)
    assert not list(downloads.parent.rglob("escaped.txt"))


def test_a_debian_package_is_read_without_installing_it(downloads: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    sound = tree / "usr/share/animals/cat.txt"
    sound.parent.mkdir(parents=True)
    sound.write_bytes(b"meow")
    control = tree / "DEBIAN" / "control"
    control.parent.mkdir()
    control.write_text("Package: animals\nVersion: 1.0\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: cats\n")
    archive = downloads / "debian" / "animals-1.0.archive" / "animals.deb"
    archive.parent.mkdir(parents=True)
    try:
        subprocess.run(["dpkg-deb", "--build", tree, archive], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no dpkg-deb here")

    name = "usr/share/animals/cat.txt"
    (path,) = fetch(DEBIAN, "usr/share/*.txt", sha256=digest([(name, b"meow")]), downloads=downloads)
    assert path.read_bytes() == b"meow"


def test_offline_is_one_line_that_names_the_package_and_the_command(
    downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(downloads))
    package = Package("pypi", "edgetool-example-that-nobody-published", "1.0")

    with pytest.raises(FetchError) as caught:
        fetch(package, "*", sha256="f00d", downloads=downloads)

    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("edgetool-example-that-nobody-published 1.0: `")
    assert "pip download" in message
    assert "offline?" in message


def test_a_missing_downloader_is_named(downloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(FetchError, match="npm is not installed here"):
        fetch(NPM, "*", sha256="f00d", downloads=downloads)


def test_the_digest_covers_names_and_bytes_and_their_order() -> None:
    assert digest([CAT, DOG]) == digest(iter([CAT, DOG]))
    assert len({digest([CAT, DOG]), digest([DOG, CAT]), digest([("x", b"meow"), DOG]), digest([CAT])}) == 4
    line = f"a\0{hashlib.sha256(b'b').hexdigest()}\n"
    assert digest([("a", b"b")]) == hashlib.sha256(line.encode()).hexdigest()
