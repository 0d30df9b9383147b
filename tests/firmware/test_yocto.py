"""`yocto`: a layer that oelint-adv finds nothing wrong with, and whose do_install gives the bundle byte for byte."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgetool.bundle.read import read_bundle
from edgetool.bundle.verify import verify
from edgetool.errors import ConfigError, EdgetoolError, HostError, ModelError
from edgetool.exporters.package import Package
from edgetool_firmware.health import programs
from tests.firmware.damage import flip_byte
from tests.firmware.device_shell import tree_state

Run = Callable[..., Package]
Make = Callable[..., Path]
MACHINE = {"machines": "raspberrypi5"}


@dataclass(frozen=True)
class Recipe:
    """A recipe as text, and what bitbake would make of it.

    Attributes:
        path: the .bb file.
    """

    path: Path

    def value(self, name: str) -> str:
        match = re.search(rf'^{re.escape(name)} \+?= "([^"]*)"$', self.path.read_text(), re.M)
        assert match, name
        return match[1]

    def install(self, work: Path) -> subprocess.CompletedProcess[str]:
        """do_unpack and do_install, as bitbake runs them: by sh, with its variables; the image is `work/image`."""
        unpacked = work / "unpacked"
        unpacked.mkdir(parents=True)
        for uri in self.value("SRC_URI").replace("\\\n", " ").split():
            file = self.path.parent / "files" / uri.removeprefix("file://")
            if file.suffix == ".tar":
                with tarfile.open(file) as archive:
                    archive.extractall(unpacked, filter="data")
            else:
                (unpacked / file.name).write_bytes(file.read_bytes())
        body = re.search(r"^do_install\(\) \{\n(.*?)^\}$", self.path.read_text(), re.M | re.S)
        assert body
        digest = self.value("CONTENT_DIGEST") if "CONTENT_DIGEST =" in self.path.read_text() else ""
        variables = {
            "S": re.sub(r"\$\{(WORKDIR|UNPACKDIR)\}", str(unpacked), self.value("S")), "D": str(work / "image"),
            "datadir": "/usr/share", "bindir": "/usr/bin", "CONTENT_DIGEST": digest,
        }  # fmt: skip
        script = f'bbfatal() {{ echo "ERROR: $*"; exit 1; }}\nset -e\n{body[1]}'
        return subprocess.run(
            ["sh", "-c", script],
            env={**variables, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )


def model_recipe(done: Package) -> Recipe:
    (path,) = done.path.glob("*/recipes-models/edgetool-model-*/*.bb")
    return Recipe(path)


def engine_of(bundle: Path) -> Path:
    return bundle / read_bundle(bundle).manifest.entry


def lint(done: Package, release: str) -> list[str]:
    """What oelint-adv has to say that is worse than information."""
    pytest.importorskip("oelint_adv")
    files = [str(path) for pattern in ("*.bb", "layer.conf") for path in sorted(done.path.rglob(pattern))]
    found = subprocess.run(
        [
            sys.executable, "-m", "oelint_adv", "--quiet", "--hide=info", f"--release={release}",
            "--suppress=oelint.vars.homepageping", *files,
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in found.stderr
    return [line for line in (found.stdout + found.stderr).splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("release", "options"),
    [
        ("scarthgap", {}),
        ("whinlatter", {"machines": ["a", "b-2"], "url": "https://models.example.com/net", "path": "/opt/models/net"}),
        *(pytest.param(name, {}, marks=pytest.mark.slow) for name in ("kirkstone", "styhead", "walnascar", "wrynose")),
    ],
)
def test_the_linter_finds_nothing(release: str, options: dict[str, object], bundle: Path, package: Run) -> None:
    bundle.with_name(bundle.name + ".sig").write_text("signed")
    done = package(bundle, "yocto", options={**MACHINE, "release": release, **options})
    assert lint(done, release) == []


def test_the_linter_would_find_something(bundle: Path, package: Run) -> None:
    done = package(bundle, "yocto", options=MACHINE)
    recipe = model_recipe(done).path
    recipe.write_text(recipe.read_text().replace("FILES:${PN} +=", "FILES_${PN} ="))
    assert lint(done, "scarthgap")


@pytest.mark.parametrize("signature", ["signed", None])
def test_the_image_holds_the_bundle_byte_for_byte(
    signature: str | None, bundle: Path, package: Run, tmp_path: Path
) -> None:
    beside = bundle.with_name(bundle.name + ".sig")
    if signature:
        beside.write_text(signature)
    done = package(bundle, "yocto", options=MACHINE)
    installed = model_recipe(done).install(tmp_path / "work")
    assert installed.returncode == 0, installed.stdout
    models = tmp_path / "work" / "image" / "usr" / "share" / "edgetool" / "models"
    assert tree_state(models / "tiny") == tree_state(bundle)
    assert verify(models / "tiny").sound
    assert (models / "tiny.sig").exists() == bool(signature)


def test_another_place_on_the_device(bundle: Path, package: Run, tmp_path: Path) -> None:
    done = package(bundle, "yocto", options={**MACHINE, "path": "/opt/models/one"})
    assert model_recipe(done).install(tmp_path / "work").returncode == 0
    assert verify(tmp_path / "work" / "image" / "opt" / "models" / "one").sound


def test_the_programs_for_the_device_are_a_recipe_of_their_own(bundle: Path, package: Run, tmp_path: Path) -> None:
    done = package(bundle, "yocto", options=MACHINE)
    (path,) = done.path.glob("*/recipes-models/edgetool-health/*.bb")
    assert Recipe(path).install(tmp_path / "work").returncode == 0
    for program in programs():
        installed = tmp_path / "work" / "image" / "usr" / "bin" / program.name
        assert installed.read_bytes() == program.read_bytes()
        assert installed.stat().st_mode & 0o777 == 0o755
    line = (path.parent / "files" / "edgetool-health").read_bytes().splitlines(keepends=True)[1]
    assert f"beginline=2;endline=2;md5={hashlib.md5(line).hexdigest()}" in path.read_text()
    assert b"Apache-2.0" in line


def test_what_the_recipe_says(make_bundle: Make, package: Run) -> None:
    done = package(make_bundle(version="1.2.0-rc.1", target="Jetson_1"), "yocto", options={"machines": ["a", "b"]})
    recipe = model_recipe(done)
    assert recipe.path.name == "edgetool-model-net_1.2.0~rc.1.bb"
    assert recipe.path.parents[2].name == "meta-edgetool-model-net-jetson-1"
    machines = re.compile(recipe.value("COMPATIBLE_MACHINE"))
    assert [name for name in ("a", "b", "ab", "xa", "c") if machines.match(name)] == ["a", "b"]
    (archive,) = recipe.path.parent.glob("files/*.tar")
    assert recipe.value("SRC_URI") == f"file://{archive.name}"
    assert recipe.value("SRC_URI[sha256sum]") == hashlib.sha256(archive.read_bytes()).hexdigest()
    with tarfile.open(archive) as tar:
        manifest = tar.extractfile("net-1.2.0-rc.1-Jetson_1/manifest.json")
        assert manifest is not None
        md5 = hashlib.md5(manifest.read()).hexdigest()
    assert recipe.value("LIC_FILES_CHKSUM") == f"file://manifest.json;md5={md5}"
    assert recipe.value("LICENSE") == "MIT"
    assert 'noexec] = "1"' in recipe.path.read_text()
    assert "INSANE_SKIP" not in recipe.path.read_text()


@pytest.mark.parametrize(
    ("runtime", "needs"),
    [
        ("onnxruntime", "onnxruntime"),
        ("openvino", "openvino-inference-engine"),
        ("tensorrt", "tensorrt-core"),
        ("something-else", None),
    ],
)
def test_the_runtime_is_needed(runtime: str, needs: str | None, make_bundle: Make, package: Run) -> None:
    done = package(make_bundle(runtime=runtime), "yocto", options=MACHINE)
    assert model_recipe(done).value("RDEPENDS:${PN}").split() == ["edgetool-health", *filter(None, [needs])]
    chosen = package(
        make_bundle(runtime=runtime), "yocto", options={**MACHINE, "rdepends": ["own-runtime"]}, overwrite=True
    )
    assert model_recipe(chosen).value("RDEPENDS:${PN}").split() == ["edgetool-health", "own-runtime"]


def test_libraries_are_left_as_they_are(make_bundle: Make, package: Run) -> None:
    bundle = make_bundle(files={"engine.plan": b"plan", "plugin.so": b"\x7fELF" + bytes(60)})
    text = model_recipe(package(bundle, "yocto", options=MACHINE)).path.read_text()
    assert re.search(r'^INSANE_SKIP:\$\{PN\} = ".*ldflags.*"$', text, re.M)
    assert 'INHIBIT_PACKAGE_STRIP = "1"' in text


def test_fetched_from_a_server(bundle: Path, package: Run) -> None:
    done = package(bundle, "yocto", options={**MACHINE, "url": "https://models.example.com/net/"})
    recipe = model_recipe(done)
    (archive,) = done.path.glob("downloads/*.tar")
    assert recipe.value("SRC_URI") == f"https://models.example.com/net/{archive.name}"
    assert recipe.value("SRC_URI[sha256sum]") == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert not (recipe.path.parent / "files").exists()


def test_one_changed_byte_is_refused(bundle: Path, package: Run, tmp_path: Path) -> None:
    engine = engine_of(bundle).read_bytes()
    done = package(bundle, "yocto", options=MACHINE)
    recipe = model_recipe(done)
    (archive,) = recipe.path.parent.glob("files/*.tar")
    flip_byte(archive, within=engine[-64:])
    installed = recipe.install(tmp_path / "work")
    assert (installed.returncode, "ERROR: the bundle is not the one" in installed.stdout) == (1, True)
    assert not (tmp_path / "work" / "image").exists()
    assert hashlib.sha256(archive.read_bytes()).hexdigest() != recipe.value("SRC_URI[sha256sum]"), "bitbake's own check"


def test_an_added_file_is_refused(bundle: Path, package: Run, tmp_path: Path) -> None:
    recipe = model_recipe(package(bundle, "yocto", options=MACHINE))
    (archive,) = recipe.path.parent.glob("files/*.tar")
    (bundle / "more").write_text("")
    with tarfile.open(archive, "a") as tar:
        tar.add(bundle / "more", f"{archive.stem}/model/more")
    assert recipe.install(tmp_path / "work").returncode == 1


def test_equal_bundles_give_equal_layers(bundle: Path, package: Run, tmp_path: Path) -> None:
    first = package(bundle, "yocto", options=MACHINE, output=tmp_path / "one")
    second = package(bundle, "yocto", options=MACHINE, output=tmp_path / "two")
    assert tree_state(first.path) == tree_state(second.path)


@pytest.mark.parametrize(
    ("stated", "license_text"),
    [
        ("Apache-2.0", "Apache-2.0"),
        ("MIT AND (BSD-3-Clause OR Apache-2.0)", "MIT & (BSD-3-Clause | Apache-2.0)"),
        ("LicenseRef-Ours", "LicenseRef-Ours"),
    ],
)
def test_licenses(stated: str, license_text: str, make_bundle: Make, package: Run) -> None:
    done = package(make_bundle(), "yocto", options={**MACHINE, "license": stated})
    recipe = model_recipe(done)
    assert recipe.value("LICENSE") == license_text
    assert ("NO_GENERIC_LICENSE[LicenseRef-Ours]" in recipe.path.read_text()) == (stated == "LicenseRef-Ours")
    assert lint(done, "scarthgap") == []


def test_without_a_license_it_is_closed(make_bundle: Make, package: Run) -> None:
    from dataclasses import replace

    from tests.firmware.bundles import Recipe as BundleRecipe

    source = replace(BundleRecipe().manifest().source, license=None)
    done = package(make_bundle(changes={"source": source}), "yocto", options=MACHINE)
    assert model_recipe(done).value("LICENSE") == "CLOSED"
    assert "LIC_FILES_CHKSUM" not in model_recipe(done).path.read_text()


@pytest.mark.parametrize(
    "stated",
    ["my own license", 'MIT"\ninherit evil', "${@evil()}", "GPL-2.0-only WITH x", "MIT AND", "(MIT", "", "MIT MIT"],
)
def test_a_license_that_no_recipe_can_state(stated: str, make_bundle: Make, package: Run) -> None:
    from dataclasses import replace

    from tests.firmware.bundles import Recipe as BundleRecipe

    source = replace(BundleRecipe().manifest().source, license=stated)
    with pytest.raises(ModelError) as error:
        package(make_bundle(changes={"source": source}), "yocto", options=MACHINE)
    assert error.value.code == "license-unsuitable"


HOSTILE = ["my net", "$(id)", 'a"b', "a'b", "a\nb", "größe", "-net", "a;b", "${@bb}", "a`b`"]


@pytest.mark.parametrize("field", ["name", "version", "target"])
@pytest.mark.parametrize("word", HOSTILE)
def test_names_that_a_recipe_would_run(field: str, word: str, make_bundle: Make, package: Run, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        package(make_bundle(**{field: word}), "yocto", options=MACHINE)
    assert error.value.code == "name-unsafe"
    assert not list(tmp_path.glob("packages/*"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"machines": []},
        {"machines": "a|.*"},
        {"machines": ["a", "b c"]},
        {"machines": "$(id)"},
        {**MACHINE, "release": "hardknott"},
        {**MACHINE, "url": "file:///etc"},
        {**MACHINE, "url": "https://x/;name=a b"},
        {**MACHINE, "url": 'https://x/"\n'},
        {**MACHINE, "homepage": "https://x/${PN}"},
        {**MACHINE, "rdepends": "a b"},
        {**MACHINE, "path": "relative"},
        {**MACHINE, "path": "/a/../b"},
        {**MACHINE, "unknown": 1},
    ],
)
def test_options_that_are_refused(options: dict[str, object], make_bundle: Make, package: Run) -> None:
    with pytest.raises(ConfigError) as error:
        package(make_bundle(), "yocto", options=options)
    assert error.value.code == "invalid-package-option"


def test_the_command_line(
    bundle: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    missing = run_cli("package", bundle, "--format", "yocto", "-o", tmp_path / "out")
    assert (missing.returncode, "yocto.machines" in missing.stderr) == (2, True)
    command = (
        "package",
        bundle,
        "--format",
        "yocto",
        "--option",
        "yocto.machines=raspberrypi5",
        "-o",
        tmp_path / "out",
    )
    assert run_cli(*command).returncode == 0
    again = run_cli(*command)
    assert (again.returncode, "package-exists" in again.stderr) == (2, True)
    assert run_cli(*command, "--overwrite").returncode == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tiny-1.0.0-ort-yocto"]


def test_a_full_disk_leaves_nothing(make_bundle: Make, package: Run, small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("64k")
    with pytest.raises(HostError) as error:
        package(make_bundle(files={"engine.plan": 100_000}), "yocto", options=MACHINE, output=disk)
    assert error.value.code == "disk-full"
    assert not list(disk.iterdir())


def test_a_bundle_that_was_changed_before(bundle: Path, package: Run) -> None:
    flip_byte(engine_of(bundle))
    with pytest.raises(EdgetoolError) as error:
        package(bundle, "yocto", options=MACHINE)
    assert error.value.exit_code == 7


def test_the_digest_is_the_one_that_verify_prints(bundle: Path, package: Run) -> None:
    recipe = model_recipe(package(bundle, "yocto", options=MACHINE))
    assert recipe.value("CONTENT_DIGEST") == read_bundle(bundle).content_digest
