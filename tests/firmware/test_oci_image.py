"""`oci-image`: an image that umoci unpacks, whose program finds the bundle where it belongs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetool.bundle.read import read_bundle
from edgetool.errors import ConfigError, ModelError
from edgetool.exporters.package import Package
from tests.firmware.damage import flip_byte

Run = Callable[..., Package]
Make = Callable[..., Path]
FOLDER = "usr/share/edgetool/models"
AMD64 = {"architecture": "amd64"}
"""For the bundle that fits every processor: an image does not."""

_PROGRAM = """\
#include <stdio.h>
int main(int count, char **words) {
    FILE *file = fopen(words[1], "r");
    char line[64] = "";
    if (file == NULL || fgets(line, sizeof line, file) == NULL) return 1;
    return line[0] == '{' ? 0 : 2;
}
"""


@pytest.fixture
def unpack(require_tool: Callable[[str], str], tmp_path: Path) -> Callable[[Path, str], Path]:
    """The root file system of an image, and beside it `config.json`: what a runtime would start."""
    tool = require_tool("umoci")

    def run(layout: Path, tag: str) -> Path:
        where = tmp_path / f"unpacked-{tag}"
        rootless = [] if os.geteuid() == 0 else ["--rootless"]
        subprocess.run(
            [tool, "unpack", *rootless, "--image", f"{layout}:{tag}", where], check=True, capture_output=True
        )
        return where / "rootfs"

    return run


@pytest.fixture
def program(require_tool: Callable[[str], str], tmp_path: Path) -> Path:
    """A static program: exit 0 when its argument begins like JSON."""
    (tmp_path / "reader.c").write_text(_PROGRAM)
    path = tmp_path / "reader"
    subprocess.run([require_tool("gcc"), "-static", "-o", path, tmp_path / "reader.c"], check=True)
    return path


def test_the_bundle_lies_in_the_image(bundle: Path, package: Run, unpack: Callable[[Path, str], Path]) -> None:
    bundle.with_name(bundle.name + ".sig").write_text("signed")
    done = package(bundle, "oci-image", options=AMD64)
    root = unpack(done.path, "1.0.0")
    assert read_bundle(root / FOLDER / "tiny").content_digest == read_bundle(bundle).content_digest
    assert (root / FOLDER / "tiny.sig").read_text() == "signed"


def test_skopeo_shows_what_it_is(bundle: Path, package: Run, require_tool: Callable[[str], str]) -> None:
    done = package(bundle, "oci-image", options=AMD64)
    shown = subprocess.run(
        [require_tool("skopeo"), "inspect", f"oci:{done.path}:1.0.0"], check=True, capture_output=True, text=True
    )
    image = json.loads(shown.stdout)
    assert image["Digest"] == done.facts["digest"]
    assert image["Os"] == "linux"
    assert image["Created"] == "2023-11-14T22:13:20Z"
    assert image["Labels"]["edgetool.content-digest"] == read_bundle(bundle).content_digest


def test_the_program_runs_in_the_image(
    bundle: Path, package: Run, unpack: Callable[[Path, str], Path], program: Path
) -> None:
    done = package(
        bundle, "oci-image", options={**AMD64, "program": str(program), "command": [f"/{FOLDER}/tiny/manifest.json"]}
    )
    root = unpack(done.path, "1.0.0")
    wanted = json.loads((root.parent / "config.json").read_text())["process"]["args"]
    assert wanted == ["/usr/bin/reader", f"/{FOLDER}/tiny/manifest.json"]
    if os.geteuid() != 0:
        pytest.skip("only root may change the root folder")
    assert subprocess.run(["chroot", root, *wanted], check=False).returncode == 0
    (root / FOLDER / "tiny/manifest.json").unlink()
    assert subprocess.run(["chroot", root, *wanted], check=False).returncode == 1


def test_on_top_of_another_image(
    make_bundle: Make, package: Run, unpack: Callable[[Path, str], Path], program: Path, tmp_path: Path
) -> None:
    lower = package(
        make_bundle(name="lower", version="1.0"), "oci-image", options={"program": str(program), "command": ["/x"]}
    )
    upper = package(make_bundle(name="upper", facts={}), "oci-image", options={"base": str(lower.path), "tag": "top"})
    assert upper.facts["layers"] == 2
    assert upper.facts["architecture"] == "amd64"
    root = unpack(upper.path, "top")
    assert sorted(path.name for path in (root / FOLDER).iterdir()) == ["lower", "upper"]
    process = json.loads((root.parent / "config.json").read_text())["process"]
    assert process["args"] == ["/usr/bin/reader", "/x"], "what the base starts is kept"


def test_a_base_made_by_another_tool(
    bundle: Path, package: Run, require_tool: Callable[[str], str], unpack: Callable[[Path, str], Path], tmp_path: Path
) -> None:
    umoci, base = require_tool("umoci"), tmp_path / "base"
    subprocess.run([umoci, "init", "--layout", base], check=True)
    subprocess.run([umoci, "new", "--image", f"{base}:1"], check=True)
    (tmp_path / "os-release").write_text("ID=small\n")
    subprocess.run(
        [umoci, "insert", "--rootless", "--image", f"{base}:1", tmp_path / "os-release", "/etc/os-release"], check=True
    )
    subprocess.run([umoci, "gc", "--layout", base], check=True)
    done = package(bundle, "oci-image", options={"base": str(base), "command": ["/bin/app"]})
    root = unpack(done.path, "1.0.0")
    assert (root / "etc/os-release").read_text() == "ID=small\n"
    assert read_bundle(root / FOLDER / "tiny").manifest.name == "tiny"


def test_a_changed_layer_is_refused(
    bundle: Path, package: Run, require_tool: Callable[[str], str], tmp_path: Path
) -> None:
    layout = package(bundle, "oci-image", options=AMD64).path
    largest = max((layout / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    flip_byte(largest, within=(bundle / "model" / "model.onnx").read_bytes())
    for command in (
        ["skopeo", "--insecure-policy", "copy", f"oci:{layout}:1.0.0", f"dir:{tmp_path / 'out'}"],
        ["umoci", "unpack", "--rootless", "--image", f"{layout}:1.0.0", str(tmp_path / "unpacked")],
    ):
        require_tool(command[0])
        assert subprocess.run(command, check=False, capture_output=True).returncode != 0, command[0]


def test_equal_bundles_give_equal_bytes(make_bundle: Make, package: Run) -> None:
    made = make_bundle(files={"engine.onnx": 3_000_000})
    first = package(made, "oci-image").facts["digest"]
    assert package(made, "oci-image", overwrite=True).facts["digest"] == first


@pytest.mark.parametrize(
    ("arch", "expected"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("armv7", "arm"), ("riscv64", "riscv64")]
)
def test_the_architecture_is_the_targets(make_bundle: Make, package: Run, arch: str, expected: str) -> None:
    assert package(make_bundle(facts={"arch": arch}), "oci-image").facts["architecture"] == expected


def test_an_image_has_an_architecture(make_bundle: Make, package: Run) -> None:
    made = make_bundle(facts={})
    with pytest.raises(ModelError) as caught:
        package(made, "oci-image")
    assert caught.value.code == "architecture-unknown"
    assert package(made, "oci-image", options={"architecture": "s390x"}).facts["architecture"] == "s390x"


@pytest.mark.parametrize("damage", ["absent", "empty", "two", "blob", "index", "config"])
def test_bases_that_are_none(make_bundle: Make, package: Run, tmp_path: Path, damage: str) -> None:
    base = package(make_bundle(name="lower"), "oci-image").path
    index = json.loads((base / "index.json").read_text())
    blobs = sorted((base / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    if damage == "absent":
        base = tmp_path / "nowhere"
    elif damage == "empty":
        (base / "index.json").write_text("{}")
    elif damage == "two":
        (base / "index.json").write_text(json.dumps({**index, "manifests": index["manifests"] * 2}))
    elif damage == "index":
        index["manifests"][0]["digest"] = "sha256:../../../../etc/passwd"
        (base / "index.json").write_text(json.dumps(index))
    else:
        flip_byte(blobs[-1] if damage == "blob" else blobs[0])
    with pytest.raises(ConfigError) as caught:
        package(make_bundle(name="upper"), "oci-image", options={"base": str(base)})
    assert caught.value.code == "base-image-invalid"


def test_programs_that_cannot_be_put_in(bundle: Path, package: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        package(bundle, "oci-image", options={**AMD64, "program": str(tmp_path / "nowhere")})
    assert caught.value.code == "program-not-found"
    (tmp_path / "a b").write_text("#!")
    with pytest.raises(ModelError) as refused:
        package(bundle, "oci-image", options={**AMD64, "program": str(tmp_path / "a b")})
    assert refused.value.code == "name-unsafe"


@pytest.mark.parametrize("name", ["my net", "../up", "$(id)"])
def test_names_that_are_no_path(make_bundle: Make, package: Run, name: str) -> None:
    with pytest.raises(ModelError) as caught:
        package(make_bundle(name=name), "oci-image")
    assert caught.value.code == "name-unsafe"
    done = package(make_bundle(name=name), "oci-image", options={"path": "/models/current"})
    assert done.facts["path"] == "/models/current"
