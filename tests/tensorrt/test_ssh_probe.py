"""What a device says of itself, and whether it is the one that the target means."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from edgetool.backends import Site
from edgetool.errors import DeviceError, HostError
from edgetool_tensorrt.device import Device
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.ssh import connect, probe
from edgetool_tensorrt.ssh.compare import compare, require_room
from edgetool_tensorrt.ssh.probe import describe
from edgetool_tensorrt.version import Version
from tests.tensorrt.ssh_device import ALIAS, SshDevice
from tests.tensorrt.standin.device import StandIn

ORIN = """arch=aarch64
model=NVIDIA Jetson Orin NX Engineering Reference Developer Kit Super
compatible=nvidia,p3768-0000+p3767-0000-super nvidia,p3767-0000 nvidia,tegra234
release=# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64
os=Ubuntu 22.04.5 LTS
libc=glibc 2.35
cuda=12.6.68
memory=MemTotal: 15655508
memory=MemAvailable: 12410236
memory=SwapTotal: 7827744
disk=82317716
program=flock
program=nice
program=setsid
program=sha256sum
program=tar
package=libnvinfer10 10.3.0.30-1+cuda12.5
package=nvidia-jetpack 6.2+b77
package=nvidia-l4t-core 36.4.3-20250107174145
python=10.3.0
trtexec=v100300 /usr/src/tensorrt/bin/trtexec
power_mode=MAXN_SUPER
temperature=48250
temperature=51093
temperature=-256000
clock_hz=gpu 918000000
clock_khz=cpu 1984000
smi=Orin (nvgpu), [N/A], 540.4.0, [N/A], [N/A]
"""

XAVIER = """arch=aarch64
model=Jetson-AGX
compatible=nvidia,p2972-0000 nvidia,tegra194
release=# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64
package=libnvinfer8 8.5.2-1+cuda11.4
trtexec=v8502 /usr/src/tensorrt/bin/trtexec
"""

SERVER = """arch=x86_64
model=
memory=MemTotal: 131900000
smi=NVIDIA L4, 8.9, 550.54.15, 41, 2040
trtexec=v101300 /opt/new/trtexec
trtexec=v100300 /usr/src/tensorrt/bin/trtexec
"""


def described(text: str) -> Device:
    return describe(text, where="board")


def test_an_orin_is_read_completely() -> None:
    device = described(ORIN)
    assert device.facts() == {
        "arch": "aarch64",
        "sm": 87,
        "soc": "tegra234",
        "l4t": "36.4.3",
        "jetpack": "6.2",
        "driver": "540.4.0",
        "tensorrt": "10.3.0.30",
    }
    assert device.model == "NVIDIA Jetson Orin NX Engineering Reference Developer Kit Super"
    assert device.other_tensorrt == ()
    assert (device.power_mode, device.temperature) == ("MAXN_SUPER", 51.093)
    assert device.clocks == {"gpu": 918_000_000, "cpu": 1_984_000_000}
    assert device.memory_total == 15655508 * 1024
    assert device.programs >= {"flock", "setsid"}


def test_an_older_board_without_nvidia_smi_is_read_too() -> None:
    device = described(XAVIER)
    assert (device.sm, device.jetpack, str(device.tensorrt)) == (72, "5.1.2", "8.5.2")
    assert device.gpu is None


def test_a_server_is_told_by_its_card_and_its_newest_trtexec() -> None:
    device = described(SERVER)
    assert (device.sm, device.gpu, device.soc, device.jetpack) == (89, "NVIDIA L4", None, None)
    assert (device.trtexec, device.tensorrt) == ("/opt/new/trtexec", Version(10, 13))
    assert device.other_tensorrt == ("10.3.0",)


def test_a_device_that_says_nothing_is_no_device() -> None:
    with pytest.raises(DeviceError) as caught:
        described("motd of the day\n")
    assert caught.value.code == "device-command-failed"


def test_a_trtexec_that_tells_no_version_is_found_all_the_same() -> None:
    device = described("arch=aarch64\ntrtexec= /usr/src/tensorrt/bin/trtexec\n")
    assert (device.trtexec, device.tensorrt) == ("/usr/src/tensorrt/bin/trtexec", None)


def refused(device: Device, *, trtexec: str | None = None, **facts: Any) -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        compare(device, Site(host="board", facts=facts), TensorRtOptions(trtexec=trtexec))
    assert caught.value.exit_code == 6
    assert caught.value.where == "board"
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"arch": "aarch64", "soc": "tegra234", "sm": 87, "jetpack": "6.2", "tensorrt": "10.3.0", "ram": "16GiB"},
        {"jetpack": "6", "tensorrt": "10.3"},
        {"tensorrt": "10.3.0.30", "jetpack": "6.2.0"},
    ],
)
def test_a_device_as_described_passes(facts: dict[str, Any]) -> None:
    compare(described(ORIN), Site(host="board", facts=facts), TensorRtOptions())


def test_every_difference_is_named_at_once() -> None:
    error = refused(described(ORIN), arch="x86_64", sm=72, soc="tegra194", jetpack="5.1.3", tensorrt="8.5.2")
    assert error.code == "device-not-as-described"
    for word in ("arch", "x86_64", "sm is 87", "tegra194", "jetpack is 6.2 on the device, and 5.1.3", "10.3.0.30"):
        assert word in error.message


@pytest.mark.parametrize("facts", [{"jetpack": "6.2.1"}, {"tensorrt": "10.30"}, {"tensorrt": "10.3.0.26"}, {"sm": 86}])
def test_one_difference_is_enough(facts: dict[str, Any]) -> None:
    assert refused(described(ORIN), **facts).code == "device-not-as-described"


def test_a_fourth_number_that_the_device_does_not_tell_is_no_difference() -> None:
    device = replace(described(ORIN), tensorrt=Version(10, 3, 0))
    compare(device, Site(host="board", facts={"tensorrt": "10.3.0.30"}), TensorRtOptions())


def test_what_the_device_cannot_confirm_is_a_difference() -> None:
    assert "sm is unknown" in refused(replace(described(ORIN), sm=None), sm=87).message


def test_two_versions_are_refused_until_one_is_chosen() -> None:
    device = described(SERVER)
    error = refused(device)
    assert error.code == "two-tensorrt-versions"
    assert 'trtexec = "/opt/new/trtexec"' in str(error.hint)
    with_programs = replace(device, programs=frozenset({"setsid", "sha256sum", "tar"}))
    compare(with_programs, Site(host="board"), TensorRtOptions(trtexec="/opt/new/trtexec"))


def test_another_version_of_the_python_package_counts() -> None:
    assert refused(described(ORIN.replace("python=10.3.0", "python=10.7.0"))).code == "two-tensorrt-versions"


def test_without_trtexec_there_is_nothing_to_build_with() -> None:
    assert refused(replace(described(ORIN), trtexec=None, tensorrt=None)).code == "device-without-trtexec"


def test_missing_programs_are_named_with_their_packages() -> None:
    error = refused(replace(described(ORIN), programs=frozenset({"tar"})))
    assert error.code == "device-lacks-program"
    assert "util-linux" in str(error.hint)


def test_room_is_twice_the_network() -> None:
    device = replace(described(ORIN), disk_free=100 << 20, memory_available=1 << 30, swap=0)
    assert require_room(device, needed=49 << 20, where="board") is None
    with pytest.raises(HostError) as caught:
        require_room(device, needed=51 << 20, where="board")
    assert caught.value.code == "device-disk-full"
    scarce = require_room(replace(device, disk_free=1 << 40), needed=1 << 30, where="board")
    assert scarce is not None
    assert "1024 MiB" in scarce


def test_a_device_is_described_in_one_round_trip(ssh_device: SshDevice) -> None:
    ssh_device.program("trtexec", 'echo "&&&& RUNNING TensorRT.trtexec [TensorRT v100300] # trtexec --help"\n')
    ssh_device.program("nvpmodel", 'printf "NV Power Mode: MAXN\\n0\\n"\n')
    with connect(ALIAS) as connection:
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            device = probe(connection, TensorRtOptions())
            seconds.append(time.perf_counter() - began)
    assert (device.trtexec, device.tensorrt) == (str(ssh_device.bin / "trtexec"), Version(10, 3, 0))
    assert device.power_mode == "MAXN"
    assert device.memory_total > 1 << 20
    assert device.disk_free > 1 << 20
    assert device.libc
    assert min(seconds) < 1.0, f"the probe took {seconds} s"


def test_the_probe_changes_nothing(ssh_device: SshDevice) -> None:
    before = sorted(ssh_device.home.rglob("*"))
    with connect(ALIAS) as connection:
        probe(connection, TensorRtOptions())
    assert sorted(ssh_device.home.rglob("*")) == before


def test_a_device_without_trtexec_is_described_as_such(ssh_device: SshDevice) -> None:
    with connect(ALIAS) as connection:
        device = probe(connection, TensorRtOptions())
        assert device.trtexec is None
        assert probe(connection, TensorRtOptions(trtexec="/no/such/trtexec")).trtexec is None
    assert refused(device).code == "device-without-trtexec"


def test_two_versions_on_a_real_login_are_refused(ssh_device: SshDevice) -> None:
    ssh_device.program("trtexec", 'echo "&&&& RUNNING TensorRT.trtexec [TensorRT v100300] # trtexec --help"\n')
    ssh_device.program("python3", "echo 10.7.0.23\n")
    with connect(ALIAS) as connection:
        device = probe(connection, TensorRtOptions())
    error = refused(device)
    assert error.code == "two-tensorrt-versions"
    assert "10.7.0.23" in error.message


def test_the_stand_in_describes_itself(ssh_device: SshDevice, standin: StandIn) -> None:
    with connect(ALIAS) as connection:
        device = probe(connection, TensorRtOptions())
    assert (device.sm, str(device.tensorrt), device.gpu) == (86, "10.3.0", "NVIDIA Stand-In")
    assert refused(device, sm=87).code == "device-not-as-described"


@pytest.mark.jetson
def test_a_real_board_describes_itself(real_jetson: str) -> None:
    with connect(real_jetson) as connection:
        device = probe(connection, TensorRtOptions())
    assert device.soc
    assert device.sm
    assert device.l4t
    assert device.trtexec
    assert device.tensorrt
