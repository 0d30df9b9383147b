"""Threads and memory come from affinity and cgroups, on any layout of machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgetool import host


def lay_out(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_limits_the_affinity_mask_counts(tmp_path: Path) -> None:
    assert host.cpu_quota(tmp_path) is None
    assert host.memory_limit(tmp_path) is None
    assert host.thread_count(tmp_path) == len(os.sched_getaffinity(0))


def test_cgroup_v2_takes_the_tightest_of_all_parents(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pod/job\n",
            "proc/meminfo": "MemTotal:       8000000 kB\n",
            "sys/fs/cgroup/pod/job/cpu.max": "max 100000\n",
            "sys/fs/cgroup/pod/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/pod/job/memory.max": "max\n",
            "sys/fs/cgroup/pod/memory.max": "1073741824\n",
        },
    )
    assert host.cpu_quota(root) == 1.5
    assert host.thread_count(root) == 1
    assert host.memory_limit(root) == 2**30


def test_cgroup_v1_reads_quota_and_period(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/job\n2:cpu,cpuacct:/job\n0::/\n",
            "proc/meminfo": "MemTotal:       8000000 kB\n",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "400000\n",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "2147483648\n",
        },
    )
    assert host.cpu_quota(root) == 4.0
    assert host.thread_count(root) == min(4, len(os.sched_getaffinity(0)))
    assert host.memory_limit(root) == 2**31


def test_the_number_that_means_unlimited_is_no_limit(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/\n",
            "proc/meminfo": "MemTotal:       8000000 kB\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert host.memory_limit(root) is None


def test_a_path_of_the_hosts_tree_falls_back_to_what_the_container_sees(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path,
        {"proc/self/cgroup": "0::/kubepods/unseen\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"},
    )
    assert host.cpu_quota(root) == 2.0


@pytest.mark.parametrize(
    ("line", "expected", "vnni"),
    [
        ("flags\t\t: fpu sse4_1 avx2 avx512f avx512_vnni", ("sse4_1", "avx2", "avx512f", "avx512_vnni"), True),
        ("flags\t\t: fpu sse4_1 avx2 fma", ("sse4_1", "fma", "avx2"), False),
        ("Features\t: fp asimd asimddp", ("asimd", "asimddp"), True),
    ],
)
def test_instruction_sets(tmp_path: Path, line: str, expected: tuple[str, ...], vnni: bool) -> None:
    root = lay_out(tmp_path, {"proc/cpuinfo": f"processor\t: 0\n{line}\n\nprocessor\t: 1\n"})
    assert host.instruction_sets(root) == expected
    assert host.read_host(root).vnni is vnni


def test_an_affinity_mask_of_one_cpu_gives_one_thread() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from edgetool.host import thread_count; print(thread_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_this_machine_can_be_read() -> None:
    here = host.read_host()
    assert 1 <= here.threads <= here.affinity <= here.cpus
    assert here.to_json()["threads"] == here.threads
