"""What the kit's script refuses: other devices, damaged bundles and engines, and engines that compute wrongly."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetool.bundle.verify import verify
from edgetool.testing.models import tiny_cnn
from tests.tensorrt.kit_bundle import FACTS, KitDevice, error_code, write_kit_bundle
from tests.tensorrt.standin.device import create

ORIN = {**FACTS, "soc": "tegra234", "sm": 87, "jetpack": "6.2"}


@pytest.fixture(scope="session")
def orin_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("orin")
    return write_kit_bundle(folder / "bundle", tiny_cnn(folder), facts=ORIN)


@pytest.fixture
def orin(kit_device: KitDevice, orin_template: Path) -> KitDevice:
    shutil.rmtree(kit_device.bundle)
    shutil.copytree(orin_template, kit_device.bundle)
    return kit_device


def board(folder: Path, *, soc: str = "tegra234", l4t: str | None = "# R36 (release), REVISION: 4.3, GCID: 1") -> str:
    """What a Jetson says of itself, in a folder."""
    tree = folder / "proc" / "device-tree"
    tree.mkdir(parents=True)
    (tree / "compatible").write_bytes(f"nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0005\0nvidia,{soc}\0".encode())
    (tree / "model").write_bytes(b"NVIDIA Jetson Orin Nano Developer Kit\0")
    (folder / "etc").mkdir()
    if l4t:
        (folder / "etc" / "nv_tegra_release").write_text(f"{l4t}, BOARD: generic, EABI: aarch64\n")
    return str(folder)


def refused(device: KitDevice, **environment: str) -> str:
    """Why the device is not the one that the bundle is for; empty where it is."""
    done = device.check(**environment)  # there is no engine, so a device that fits ends there
    if done.returncode == 7:
        assert error_code(done) == "engine-missing"
        return ""
    assert (done.returncode, error_code(done)) == (6, "device-not-as-described"), done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"l4t": "# R36 (release), REVISION: 4.4, GCID: 1"}, ""),  # 6.2.1 is a 6.2
        ({"l4t": "# R36 (release), REVISION: 3.0, GCID: 1"}, "l4t is 36.3.0, the bundle is for 36.4.3 or "),
        ({"l4t": None}, "l4t is not known"),
        ({"soc": "tegra23x"}, ""),
        ({"soc": "tegra194"}, "soc is tegra194, the bundle is for tegra234"),
        ({"soc": "tegra999"}, "sm is not known, the bundle is for 87"),
    ],
)
def test_a_board_is_held_against_its_target(
    orin: KitDevice, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    reasons = refused(orin, EDGETOOL_DEVICE_ROOT=board(tmp_path / "root", **changes))
    assert said in reasons
    assert bool(reasons) == bool(said)


def test_all_differences_are_told_at_once(orin: KitDevice, any_shell: str) -> None:
    reasons = refused(orin)
    for name in ("soc is not known", "sm is 86, the bundle is for 87", "l4t is not known"):
        assert name in reasons
    assert "(JetPack 6.2)" in reasons


@pytest.mark.parametrize(
    ("banner", "fits"), [("v100300", True), ("v100301", False), ("v100700", False), ("v8602", False)]
)
def test_the_version_of_trtexec_decides(kit_device: KitDevice, banner: str, fits: bool) -> None:
    kit_device.stand_in.set_faults(banner=banner)
    assert (refused(kit_device) == "") is fits


def test_old_banners_and_build_numbers_are_understood(kit_device: KitDevice, tmp_path: Path) -> None:
    for version, read in (("8.5.2", "8.5.2"), ("10.16.2.10", "10.16.2.10")):
        device = create(tmp_path / version, tensorrt=version)
        other = KitDevice(device, kit_device.programs, kit_device.shell, kit_device.bundle, kit_device.output)
        assert f"tensorrt is {read}, the bundle is for 10.3.0" in refused(other)


def test_a_device_without_trtexec(kit_device: KitDevice) -> None:
    (kit_device.stand_in.bin / "trtexec").unlink()
    done = kit_device.build()
    assert (done.returncode, error_code(done)) == (6, "device-without-trtexec")
    done = kit_device.build("--trtexec", "/nowhere/trt exec")
    assert (done.returncode, error_code(done)) == (6, "device-without-trtexec")
    assert "/nowhere/trt exec" in done.stderr


def test_programs_that_are_missing_are_named(kit_device: KitDevice) -> None:
    for name in ("flock", "paste"):
        (kit_device.programs / name).unlink()
    done = kit_device.build()
    assert (done.returncode, error_code(done)) == (6, "device-lacks-program")
    assert "flock paste" in done.stderr


def test_a_change_of_any_file_is_found(kit_device: KitDevice) -> None:
    files = sorted(path for path in kit_device.bundle.rglob("*") if path.is_file())
    assert len(files) > 20
    for path in files:
        before = path.read_bytes()
        path.write_bytes(before + b"\n# a comment\n")
        done = kit_device.build()
        assert (done.returncode, error_code(done)) == (7, "bundle-damaged"), path
        if path.name not in ("manifest.json", "measurements.json"):
            assert f"changed: {path.relative_to(kit_device.bundle)}" in done.stderr
        path.write_bytes(before)
    assert not kit_device.output.exists()
    assert refused(kit_device) == ""


@pytest.mark.slow
def test_a_missing_file_is_found(kit_device: KitDevice, any_shell: str) -> None:
    for path in sorted(path for path in kit_device.bundle.rglob("*") if path.is_file()):
        if path in (kit_device.script, kit_device.bundle / "reports" / "measurements.json"):
            continue
        before = path.read_bytes()
        path.unlink()
        done = kit_device.build()
        assert (done.returncode, error_code(done)) == (7, "bundle-damaged"), path
        path.write_bytes(before)


@pytest.mark.parametrize("name", ["model/extra.bin", "io/two words", "model/kit/\x1b[31mred", 'a "quoted" name'])
def test_a_file_more_is_found(kit_device: KitDevice, any_shell: str, name: str) -> None:
    (kit_device.bundle / name).write_bytes(b"x")
    done = kit_device.build()
    assert (done.returncode, error_code(done)) == (7, "bundle-damaged")
    assert "not listed" in done.stderr and "\x1b" not in done.stderr


def test_a_link_in_the_bundle_is_refused(kit_device: KitDevice) -> None:
    model = kit_device.bundle / "model" / "model.onnx"
    elsewhere = kit_device.bundle.parent / "model.onnx"
    model.rename(elsewhere)
    model.symlink_to(elsewhere)
    done = kit_device.build()
    assert (done.returncode, error_code(done)) == (7, "bundle-damaged")
    assert "neither file nor folder: model/model.onnx" in done.stderr


def test_the_digest_binds_the_bundle_to_what_was_trusted(kit_device: KitDevice) -> None:
    digest = verify(kit_device.bundle).content_digest
    assert digest is not None
    assert kit_device.check("--digest", digest.upper()).returncode == 7, "no engine is there, but the bundle is right"
    assert error_code(kit_device.check("--digest", digest)) == "engine-missing"
    done = kit_device.check("--digest", "0" * 64)
    assert (done.returncode, error_code(done)) == (7, "bundle-damaged")
    assert f"the content digest is {digest}" in done.stderr


@pytest.mark.parametrize(
    ("damage", "code", "exit_code"),
    [
        (lambda out: (out / "engine.plan").write_bytes(b"ptrt"), "damaged-engine", 7),
        (lambda out: (out / "engine.plan").unlink(), "engine-missing", 7),
        (lambda out: (out / "engine.json").unlink(), "engine-missing", 7),
        (lambda out: (out / "engine.json").write_text("{"), "damaged-engine", 7),
        (lambda out: (out / "engine.json").write_text(""), "damaged-engine", 7),
        (lambda out: _edit(out, "engine", "sha256", "0" * 64), "damaged-engine", 7),
        (lambda out: _edit(out, "bundle", "content_digest", "0" * 64), "engine-of-another-bundle", 7),
        (lambda out: _edit(out, "device", "gpu", "NVIDIA Other"), "engine-of-another-device", 6),
        (lambda out: _edit(out, "device", "tensorrt", "10.3.0.26"), "engine-of-another-device", 6),
        (lambda out: _edit(out, "device", "l4t", "36.4.3"), "engine-of-another-device", 6),
    ],
)
def test_an_engine_that_does_not_fit_is_not_to_be_loaded(
    built_device: KitDevice, damage: Callable[[Path], object], code: str, exit_code: int
) -> None:
    damage(built_device.output)
    before = built_device.files()
    done = built_device.check()
    assert (done.returncode, error_code(done)) == (exit_code, code), done.stderr
    assert done.stdout == ""
    assert built_device.files() == before, "--check writes nothing"


@pytest.mark.slow
def test_an_engine_that_does_not_fit_is_built_again(built_device: KitDevice) -> None:
    (built_device.output / "engine.plan").write_bytes(b"ptrt")
    done = built_device.build()
    assert done.returncode == 0, done.stderr
    assert "does not fit: engine.plan is not what engine.json records" in done.stderr
    assert built_device.builds() == 1
    assert built_device.check().returncode == 0


@pytest.mark.parametrize(
    "fault",
    [
        {"nan": True},
        *(
            pytest.param(fault, marks=pytest.mark.slow)
            for fault in ({"perturb": 0.5}, {"drop_output": True}, {"truncate_outputs": True}, {"wrong_count": True})
        ),
    ],
    ids=str,
)
def test_an_engine_that_computes_something_else(built_device: KitDevice, fault: dict[str, Any]) -> None:
    built_device.stand_in.set_faults(**fault)
    before = built_device.files()
    done = built_device.build("--rebuild")
    assert (done.returncode, error_code(done)) == (4, "self-test-failed"), done.stderr
    assert "output y: " in done.stderr
    assert built_device.files() == before
    assert built_device.check().returncode == 0, "the old engine is still there"


@pytest.mark.parametrize(
    ("fault", "exit_code", "code"),
    [
        ({"out_of_memory": True}, 10, "device-out-of-memory"),
        ({"killed": True}, 10, "device-out-of-memory"),
        ({"die": True}, 5, "trtexec-crashed"),
        pytest.param({"no_implementation": True}, 3, "no-kernel-for-node", marks=pytest.mark.slow),
        pytest.param({"disk_full": True}, 10, "engine-not-saved", marks=pytest.mark.slow),
        pytest.param({"engine_tag": "xxxx"}, 7, "damaged-engine", marks=pytest.mark.slow),
        pytest.param({"phase": "run", "die": True}, 5, "trtexec-crashed", marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_trtexec_that_fails(kit_device: KitDevice, fault: dict[str, Any], exit_code: int, code: str) -> None:
    kit_device.stand_in.set_faults(**fault)
    done = kit_device.build()
    assert (done.returncode, error_code(done)) == (exit_code, code), done.stderr
    assert kit_device.files() == ["build-engine.log"]
    assert "&&&& RUNNING" in (kit_device.output / "build-engine.log").read_text()


def test_a_needed_option_that_trtexec_lacks(kit_device: KitDevice) -> None:
    """Without --stronglyTyped the engine would compute in other types than the network says."""
    path = kit_device.stand_in.folder / "device.json"
    facts = json.loads(path.read_text())
    facts["listed"] = [name for name in facts["listed"] if name != "stronglyTyped"]
    path.write_text(json.dumps(facts))
    done = kit_device.build()
    assert (done.returncode, error_code(done)) == (6, "trtexec-lacks-option")
    assert "--stronglyTyped" in done.stderr
    assert kit_device.builds() == 0


@pytest.mark.slow
def test_an_option_that_is_only_of_use_is_left_out(kit_device: KitDevice) -> None:
    path = kit_device.stand_in.folder / "device.json"
    facts = json.loads(path.read_text())
    for key in ("listed", "taken"):
        facts[key] = [name for name in facts[key] if name != "profilingVerbosity"]
    path.write_text(json.dumps(facts))
    done = kit_device.build()
    assert done.returncode == 0, done.stderr
    assert "no --profilingVerbosity" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere; the read-only file system covers it")
def test_a_folder_that_cannot_be_written(kit_device: KitDevice, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    done = kit_device.run("--output", tmp_path / "closed" / "out")
    assert (done.returncode, error_code(done)) == (10, "permission-denied")


def _edit(output: Path, table: str, key: str, value: str) -> None:
    record = json.loads((output / "engine.json").read_text())
    record[table][key] = value
    (output / "engine.json").write_text(json.dumps(record, indent=2))
