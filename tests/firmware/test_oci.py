"""`oci`: a ModelPack artifact that skopeo, a real registry and oras take, and refuse once a byte has changed."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edgetool.bundle.read import read_bundle
from edgetool.errors import ConfigError, ModelError
from edgetool.exporters.package import Package
from tests.firmware.damage import flip_byte
from tests.firmware.registry import MODELPACK_CONFIG, running_registry

Run = Callable[..., Package]
Skopeo = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def skopeo(require_tool: Callable[[str], str]) -> Skopeo:
    tool = require_tool("skopeo")

    def run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run([tool, "--insecure-policy", *arguments], check=check, capture_output=True, text=True)

    return run


@pytest.fixture
def registry(require_tool: Callable[[str], str], tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "registry"
    folder.mkdir()
    with running_registry(require_tool("docker-registry"), folder) as address:
        yield address


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")


def _documents(layout: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Manifest and configuration."""
    index = json.loads((layout / "index.json").read_text())
    (row,) = index["manifests"]
    manifest = json.loads(_blob(layout, row["digest"]).read_text())
    return manifest, json.loads(_blob(layout, manifest["config"]["digest"]).read_text())


def test_the_manifest_is_what_modelpack_asks_for(bundle: Path, package: Run, skopeo: Skopeo) -> None:
    done = package(bundle, "oci")
    manifest = json.loads(skopeo("inspect", "--raw", f"oci:{done.path}:1.0.0").stdout)
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    kinds = {
        row["annotations"]["org.cncf.model.filepath"]: row["mediaType"].removeprefix("application/vnd.cncf.model.")
        for row in manifest["layers"]
    }
    assert kinds["bundle/model/model.onnx"] == "weight.v1.raw"
    assert kinds["bundle/manifest.json"] == "weight.config.v1.raw"
    assert kinds["bundle/io/index.json"] == "dataset.v1.raw"
    assert kinds["bundle/reports/validation.json"] == "doc.v1.raw"
    assert {row["annotations"]["org.opencontainers.image.title"] for row in manifest["layers"]} == set(kinds)
    annotations = manifest["annotations"]
    assert annotations["edgetool.content-digest"] == read_bundle(bundle).content_digest
    assert annotations["org.opencontainers.image.created"] == "2023-11-14T22:13:20Z"
    assert annotations["org.opencontainers.image.licenses"] == "MIT"


def test_the_configuration_is_closed_to_other_keys(bundle: Path, package: Run) -> None:
    manifest, config = _documents(package(bundle, "oci").path)
    jsonschema.validate(config, MODELPACK_CONFIG)
    assert config["modelfs"]["diffIds"] == [layer["digest"] for layer in manifest["layers"]]
    assert config["config"] == {"format": "onnx", "precision": "float32"}
    assert config["descriptor"]["createdAt"] == "2023-11-14T22:13:20Z"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**config, "target": "orin"}, MODELPACK_CONFIG)


def test_layers_of_other_runtimes(make_bundle: Callable[..., Path], package: Run) -> None:
    kit = make_bundle(
        files={"model.onnx": b"m", "build-engine.sh": b"#!", "kit/json.awk": b"a", "calib.cache": b"c", "w.bin": b""}
    )
    manifest, config = _documents(package(kit, "oci").path)
    kinds = {
        row["annotations"]["org.cncf.model.filepath"]: row["mediaType"].split(".")[-3:] for row in manifest["layers"]
    }
    assert kinds["bundle/model/build-engine.sh"] == ["code", "v1", "raw"]
    assert kinds["bundle/model/kit/json.awk"] == ["code", "v1", "raw"]
    assert kinds["bundle/model/calib.cache"] == ["config", "v1", "raw"]
    assert kinds["bundle/model/w.bin"] == ["weight", "v1", "raw"]
    jsonschema.validate(config, MODELPACK_CONFIG)


def test_every_blob_is_named_by_its_hash_and_nothing_else_is_there(bundle: Path, package: Run) -> None:
    layout = package(bundle, "oci").path
    for path in (layout / "blobs" / "sha256").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    assert sorted(path.name for path in layout.iterdir()) == ["blobs", "index.json", "oci-layout"]


def test_pushed_to_a_registry_and_pulled_by_oras(
    bundle: Path, package: Run, skopeo: Skopeo, registry: str, tmp_path: Path
) -> None:
    import oras.client

    bundle.with_name(bundle.name + ".sig").write_text("signed")
    done = package(bundle, "oci")
    skopeo("copy", "--dest-tls-verify=false", f"oci:{done.path}:1.0.0", f"docker://{registry}/models/tiny:1.0.0")
    remote = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{registry}/models/tiny:1.0.0").stdout
    assert f"sha256:{hashlib.sha256(remote.encode()).hexdigest()}" == done.facts["digest"]
    client = oras.client.OrasClient(hostname=registry, insecure=True)
    client.pull(target=f"{registry}/models/tiny:1.0.0", outdir=str(tmp_path / "out"))
    assert read_bundle(tmp_path / "out" / "bundle").content_digest == read_bundle(bundle).content_digest
    assert (tmp_path / "out" / "bundle.sig").read_text() == "signed"


@pytest.mark.parametrize("what", ["weights", "config"])
def test_a_changed_blob_is_refused(bundle: Path, package: Run, skopeo: Skopeo, tmp_path: Path, what: str) -> None:
    layout = package(bundle, "oci").path
    skopeo("copy", f"oci:{layout}:1.0.0", f"dir:{tmp_path / 'sound'}")
    manifest, _ = _documents(layout)
    (weights,) = [row["digest"] for row in manifest["layers"] if row["mediaType"].endswith("weight.v1.raw")]
    flip_byte(_blob(layout, {"weights": weights, "config": manifest["config"]["digest"]}[what]))
    done = skopeo("copy", f"oci:{layout}:1.0.0", f"dir:{tmp_path / 'out'}", check=False)
    assert done.returncode != 0
    assert "sha256" in done.stderr


def test_a_changed_manifest_has_another_digest(bundle: Path, package: Run, skopeo: Skopeo, registry: str) -> None:
    """skopeo does not compare a layout's manifest with its name: who pulls by digest is safe, by tag is not."""
    done = package(bundle, "oci")
    flip_byte(_blob(done.path, str(done.facts["digest"])), within=b'"edgetool.target":"ort"', at=20)
    skopeo("copy", "--dest-tls-verify=false", f"oci:{done.path}:1.0.0", f"docker://{registry}/tiny:1.0.0")
    by_digest = ["inspect", "--raw", "--tls-verify=false", f"docker://{registry}/tiny@{done.facts['digest']}"]
    assert skopeo(*by_digest, check=False).returncode != 0
    sound = package(bundle, "oci", overwrite=True)
    skopeo("copy", "--dest-tls-verify=false", f"oci:{sound.path}:1.0.0", f"docker://{registry}/tiny:1.0.0")
    skopeo(*by_digest)


def test_equal_bundles_give_equal_bytes(bundle: Path, package: Run) -> None:
    def files(path: Path) -> dict[str, bytes]:
        return {str(row.relative_to(path)): row.read_bytes() for row in path.rglob("*") if row.is_file()}

    first = files(package(bundle, "oci").path)
    assert files(package(bundle, "oci", overwrite=True).path) == first


@pytest.mark.parametrize("name", ["mein Netz", 'it\'s "$(id)"', "net\nwork", "网络"])
def test_odd_names_are_data(
    make_bundle: Callable[..., Path], package: Run, skopeo: Skopeo, tmp_path: Path, name: str
) -> None:
    made = make_bundle(name=name, files={"a b/$(x) é.onnx": b"engine", "empty": b""})
    done = package(made, "oci")
    layout = done.path.rename(tmp_path / "layout")  # skopeo cannot name every folder
    skopeo("copy", f"oci:{layout}:1.2.0", f"dir:{tmp_path / 'out'}")
    _, config = _documents(layout)
    assert config["descriptor"]["name"] == name


def test_tags(make_bundle: Callable[..., Path], package: Run) -> None:
    assert package(make_bundle(version="1.2.0+cuda12"), "oci").facts["tag"] == "1.2.0_cuda12"
    assert package(make_bundle(version="a b"), "oci", options={"tag": "v1"}).facts["tag"] == "v1"
    with pytest.raises(ModelError) as caught:
        package(make_bundle(version="1 2"), "oci")
    assert caught.value.code == "version-unsuitable"
    for tag in ("", "a b", "-x", "a:b", "x" * 129, "a\n"):
        with pytest.raises(ConfigError) as refused:
            package(make_bundle(), "oci", options={"tag": tag})
        assert refused.value.code == "invalid-package-option"


@pytest.mark.slow
def test_more_files_than_a_registry_takes_layers(make_bundle: Callable[..., Path], package: Run) -> None:
    made = make_bundle(files={"model.onnx": b"m", **{f"w{index}": b"" for index in range(7000)}})
    with pytest.raises(ModelError) as caught:
        package(made, "oci")
    assert caught.value.code == "not-packageable"
    assert "oci-image" in str(caught.value.hint)
