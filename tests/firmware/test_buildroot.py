"""`buildroot`: an external tree that make and Kconfig read, whose hashes hold, and that installs byte for byte.

With the path of a Buildroot tree in EDGETOOL_TEST_BUILDROOT, Buildroot itself installs it, too.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgetool.bundle.read import read_bundle
from edgetool.bundle.verify import verify
from edgetool.errors import ConfigError, HostError, ModelError
from edgetool.exporters.package import Package
from edgetool_firmware.health import programs
from tests.firmware.bundles import ORIN, Recipe
from tests.firmware.damage import flip_byte
from tests.firmware.device_shell import tree_state

Run = Callable[..., Package]
Make = Callable[..., Path]
RULES = Path(__file__).with_name("buildroot.mk")


def tree_name(done: Package) -> str:
    match = re.fullmatch(r"name: ([A-Z0-9_]+)\ndesc: [^\n]+\n", (done.path / "external.desc").read_text())
    assert match
    return match[1]


def make(done: Package, output: Path, *goals: str) -> subprocess.CompletedProcess[str]:
    """Run the stand-in for Buildroot on a tree; without what a `make` that runs the tests hands on to another one."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    return subprocess.run(
        ["make", "-f", RULES, f"EXTERNAL={done.path}", f"TREE={tree_name(done)}", f"OUTPUT={output}", *goals],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _make(require_tool: Callable[[str], str]) -> None:
    require_tool("make")


def engine_of(bundle: Path) -> Path:
    return bundle / read_bundle(bundle).manifest.entry


@pytest.mark.parametrize("signature", ["signed", None])
def test_the_image_holds_the_bundle_byte_for_byte(
    signature: str | None, bundle: Path, package: Run, tmp_path: Path
) -> None:
    if signature:
        bundle.with_name(bundle.name + ".sig").write_text(signature)
    done = package(bundle, "buildroot")
    made = make(done, tmp_path / "out")
    assert made.returncode == 0, made.stderr
    models = tmp_path / "out" / "target" / "usr" / "share" / "edgetool" / "models"
    assert tree_state(models / "tiny") == tree_state(bundle)
    assert verify(models / "tiny").sound
    assert (models / "tiny.sig").exists() == bool(signature)
    for program in programs():
        installed = tmp_path / "out" / "target" / "usr" / "bin" / program.name
        assert installed.read_bytes() == program.read_bytes()
        assert os.access(installed, os.X_OK)


def test_installed_again_nothing_old_stays(bundle: Path, package: Run, tmp_path: Path) -> None:
    done = package(bundle, "buildroot", options={"path": "/opt/models/one"})
    make(done, tmp_path / "out")
    placed = tmp_path / "out" / "target" / "opt" / "models" / "one"
    (placed / "of an older version").write_text("")
    assert make(done, tmp_path / "out").returncode == 0
    assert verify(placed).sound


def test_one_changed_byte_is_refused(bundle: Path, package: Run, tmp_path: Path) -> None:
    engine = engine_of(bundle).read_bytes()
    done = package(bundle, "buildroot")
    (archive,) = done.path.glob("downloads/*.tar")
    flip_byte(archive, within=engine[-64:])
    made = make(done, tmp_path / "out")
    assert (made.returncode, "FAILED" in made.stdout + made.stderr) == (2, True)
    assert not (tmp_path / "out").exists()


def test_sha256sum_reads_the_hash_file(bundle: Path, package: Run, tmp_path: Path) -> None:
    done = package(bundle, "buildroot")
    (hashes,) = done.path.glob("package/*/*.hash")
    make(done, tmp_path / "out")
    (built,) = (tmp_path / "out" / "build").iterdir()
    (archive,) = done.path.glob("downloads/*.tar")
    (built / archive.name).write_bytes(archive.read_bytes())
    rows = [line.removeprefix("sha256  ") for line in hashes.read_text().splitlines() if not line.startswith("#")]
    checked = subprocess.run(["sha256sum", "-c", "-"], cwd=built, input="\n".join(rows), text=True, capture_output=True)
    assert (checked.returncode, checked.stdout.count(": OK")) == (0, 2)


def kconfig(done: Package, tmp_path: Path, *symbols: str) -> dict[str, str]:
    """The values of the tree's symbols where certain others are set, as Kconfig computes them."""
    kconfiglib = pytest.importorskip("kconfiglib")
    top = tmp_path / "Config.in"
    bools = "".join(f'config {name}\n\tbool "{name}"\n' for name in ("BR2_x86_64", "BR2_aarch64", "BR2_PACKAGE_OWN"))
    top.write_text(f'{bools}source "{done.path}/Config.in"\n')
    os.environ[f"BR2_EXTERNAL_{tree_name(done)}_PATH"] = str(done.path)
    try:
        config = kconfiglib.Kconfig(str(top), warn_to_stderr=False)
    finally:
        del os.environ[f"BR2_EXTERNAL_{tree_name(done)}_PATH"]
    assert not config.warnings
    for name in symbols:
        config.syms[name].set_value(2)
    return {name: symbol.str_value for name, symbol in config.syms.items()}


def test_kconfig_offers_it_where_it_runs(make_bundle: Make, package: Run, tmp_path: Path) -> None:
    done = package(make_bundle(), "buildroot", options={"select": "BR2_PACKAGE_OWN"})
    symbol = str(done.facts["symbol"])
    assert kconfig(done, tmp_path, symbol)[symbol] == "n"
    assert kconfig(done, tmp_path, "BR2_aarch64", symbol)[symbol] == "n"
    values = kconfig(done, tmp_path, "BR2_x86_64", symbol)
    assert (values[symbol], values["BR2_PACKAGE_OWN"]) == ("y", "y")


def test_kconfig_without_a_known_architecture(make_bundle: Make, package: Run, tmp_path: Path) -> None:
    done = package(make_bundle(facts={}), "buildroot")
    symbol = str(done.facts["symbol"])
    assert kconfig(done, tmp_path, symbol)[symbol] == "y"
    for_orin = package(make_bundle(facts=ORIN, target="orin"), "buildroot")
    assert kconfig(for_orin, tmp_path, "BR2_aarch64", symbol)[symbol] == "y"


def test_what_make_sees(make_bundle: Make, package: Run, tmp_path: Path) -> None:
    done = package(make_bundle(name="My_Net.v2", version="1.2.0-rc.1"), "buildroot")
    assert tree_name(done) == "EDGETOOL_MY_NET_V2_ORT"
    shown = make(done, tmp_path / "out", "edgetool-model-my-net-v2-show").stdout.strip()
    assert shown == f"1.2.0-rc.1|{done.path}/downloads|My_Net.v2-1.2.0-rc.1-ort.tar|MIT|"
    assert make(done, tmp_path / "out").returncode == 0
    assert verify(tmp_path / "out" / "target" / "usr" / "share" / "edgetool" / "models" / "My_Net.v2").sound


def test_fetched_from_a_server(bundle: Path, package: Run, tmp_path: Path) -> None:
    done = package(bundle, "buildroot", options={"url": "https://models.example.com/net/"})
    (rules,) = done.path.glob("package/*/*.mk")
    assert "_SITE = https://models.example.com/net\n" in rules.read_text()
    assert "SITE_METHOD" not in rules.read_text()
    (archive,) = done.path.glob("downloads/*.tar")
    (hashes,) = done.path.glob("package/*/*.hash")
    assert f"sha256  {hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}\n" in hashes.read_text()
    assert str(done.facts["upload"]).endswith("to https://models.example.com/net/")


def test_without_a_license_it_is_not_passed_on(make_bundle: Make, package: Run, tmp_path: Path) -> None:
    source = replace(Recipe().manifest().source, license=None)
    done = package(make_bundle(changes={"source": source}), "buildroot")
    assert make(done, tmp_path / "out", "edgetool-model-net-show").stdout.strip().endswith("|unknown|NO")


def test_libraries_that_buildroot_would_strip(make_bundle: Make, package: Run) -> None:
    bundle = make_bundle(files={"engine.plan": b"plan", "plugin.so.1": b"\x7fELF" + bytes(60)})
    with pytest.raises(ModelError) as error:
        package(bundle, "buildroot")
    assert error.value.code == "not-packageable"


@pytest.mark.parametrize("field", ["name", "version", "target"])
@pytest.mark.parametrize("word", ["my net", "$(id)", "$(shell id)", 'a"b', "a\nb", "größe", "a#b", "a;b"])
def test_names_that_make_would_run(field: str, word: str, make_bundle: Make, package: Run, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        package(make_bundle(**{field: word}), "buildroot")
    assert error.value.code == "name-unsafe"
    assert not list(tmp_path.glob("packages/*"))


@pytest.mark.parametrize(
    "options",
    [
        {"select": "BR2_X\n\tdefault y"},
        {"select": "X"},
        {"url": "git://x"},
        {"url": "https://x/$(shell id)"},
        {"homepage": "https://x/ y"},
        {"path": "/a/$(id)"},
        {"machines": "x"},
    ],
)
def test_options_that_are_refused(options: dict[str, object], make_bundle: Make, package: Run) -> None:
    with pytest.raises(ConfigError) as error:
        package(make_bundle(), "buildroot", options=options)
    assert error.value.code == "invalid-package-option"


def test_a_license_that_make_would_run(make_bundle: Make, package: Run) -> None:
    with pytest.raises(ModelError) as error:
        package(make_bundle(), "buildroot", options={"license": "$(shell id)"})
    assert error.value.code == "license-unsuitable"


def test_equal_bundles_give_equal_trees(bundle: Path, package: Run, tmp_path: Path) -> None:
    first = package(bundle, "buildroot", output=tmp_path / "one")
    second = package(bundle, "buildroot", output=tmp_path / "two")
    assert tree_state(first.path) == tree_state(second.path)


def test_a_full_disk_leaves_nothing(make_bundle: Make, package: Run, small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("64k")
    with pytest.raises(HostError) as error:
        package(make_bundle(files={"engine.plan": 100_000}), "buildroot", output=disk)
    assert error.value.code == "disk-full"
    assert not list(disk.iterdir())


@pytest.mark.slow
def test_buildroot_itself(bundle: Path, package: Run, tmp_path: Path) -> None:
    """Downloads, hashes, extracts, installs and collects the licence; all but the toolchain, which data need not."""
    buildroot = os.environ.get("EDGETOOL_TEST_BUILDROOT")
    if not buildroot:
        pytest.skip("EDGETOOL_TEST_BUILDROOT names no Buildroot tree")
    done = package(bundle, "buildroot")
    output = tmp_path / "out"
    alone = ["TAR=tar", "BR2_TAR_HOST_DEPENDENCY="]
    alone += [f"EDGETOOL_MODEL_TINY_ADD_{what}_DEPENDENCY=NO" for what in ("TOOLCHAIN", "SKELETON")]

    def run(*arguments: str) -> None:
        subprocess.run(["make", "-C", buildroot, f"O={output}", *arguments], check=True, capture_output=True)

    run(f"BR2_EXTERNAL={done.path}", f"BR2_DL_DIR={tmp_path / 'dl'}", "qemu_x86_64_defconfig")
    with (output / ".config").open("a") as config:
        config.write(f"{done.facts['symbol']}=y\n")
    run("olddefconfig")
    run(f"BR2_DL_DIR={tmp_path / 'dl'}", *alone, "edgetool-model-tiny-install-target", "edgetool-model-tiny-legal-info")
    assert verify(output / "target" / "usr" / "share" / "edgetool" / "models" / "tiny").sound
