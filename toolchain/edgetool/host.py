"""What this machine grants us: threads, memory and instruction sets, from affinity and cgroup limits.

The bare CPU count is never used: in a container it names the cores of the whole machine, and a runtime that
starts that many threads is throttled into measuring nonsense. Everything is read from files (Linux) below a root
folder, so that tests can lay out any machine.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

_ROOT = Path("/")

_ISA_FLAGS = (
    "sse4_1", "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx_vnni_int8", "avx512f", "avx512bw", "avx512_vnni",
    "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "amx_fp16",
    "neon", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip
_VNNI_FLAGS = frozenset({"avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"})


@dataclass(frozen=True, slots=True)
class Host:
    """One reading of this machine.

    Attributes:
        arch: as `uname -m` says, e.g. `x86_64`, `aarch64`.
        cpu: model name, or None where the system does not tell.
        cpus: all CPUs of the machine, for comparison only.
        affinity: CPUs that this process may run on.
        quota: CPUs' worth of time that the cgroups grant, or None without a limit.
        threads: how many threads are worth starting.
        memory: bytes of the machine.
        memory_limit: bytes that the cgroups grant, or None without a limit.
        isa: instruction sets that matter to inference, as /proc/cpuinfo spells them.
        vnni: int8 dot products accumulate without saturating (VNNI, AMX or ARM's dot product).
    """

    arch: str
    cpu: str | None
    cpus: int
    affinity: int
    quota: float | None
    threads: int
    memory: int | None
    memory_limit: int | None
    isa: tuple[str, ...]
    vnni: bool

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "isa": list(self.isa)}


def read_host(root: Path = _ROOT) -> Host:
    """Everything at once, for reports and `edgetool doctor`."""
    isa = instruction_sets(root)
    return Host(
        arch=platform.machine(),
        cpu=_cpuinfo(root).get("model name"),
        cpus=os.cpu_count() or 1,
        affinity=_affinity(),
        quota=cpu_quota(root),
        threads=thread_count(root),
        memory=_memory_total(root),
        memory_limit=memory_limit(root),
        isa=isa,
        vnni=not _VNNI_FLAGS.isdisjoint(isa),
    )


def thread_count(root: Path = _ROOT) -> int:
    """How many threads to start: CPUs in the affinity mask, cut to whole CPUs of the cgroup quota, at least 1."""
    quota = cpu_quota(root)
    return _affinity() if quota is None else max(1, min(_affinity(), int(quota)))


def cpu_quota(root: Path = _ROOT) -> float | None:
    """CPUs' worth of time granted by the tightest cgroup (v2 `cpu.max`, v1 `cpu.cfs_quota_us`), or None."""
    quotas = [_share(*text.split()[:2]) for text in _cgroup_texts(root, "cpu.max", controller="")]
    for folder in _cgroup_folders(root, "cpu"):
        quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota and period:
            quotas.append(_share(quota, period))
    return min((quota for quota in quotas if quota is not None), default=None)


def memory_limit(root: Path = _ROOT) -> int | None:
    """Bytes granted by the tightest cgroup, or None where nothing below the machine's memory is set."""
    texts = [
        *_cgroup_texts(root, "memory.max", controller=""),
        *_cgroup_texts(root, "memory.limit_in_bytes", controller="memory"),
    ]
    limit = min((int(text) for text in texts if text.isdigit()), default=None)
    total = _memory_total(root)
    # Without a limit, cgroup v1 reports a number near 2^63.
    return None if limit is None or (total is not None and limit >= total) else limit


def instruction_sets(root: Path = _ROOT) -> tuple[str, ...]:
    """The flags of /proc/cpuinfo that decide which kernels a runtime has."""
    info = _cpuinfo(root)
    flags = set((info.get("flags") or info.get("Features") or "").split())
    return tuple(name for name in _ISA_FLAGS if name in flags)


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS has no affinity masks


def _share(quota: str, period: str = "100000") -> float | None:
    """`("150000", "100000")` -> 1.5; None for `max` and `-1`."""
    return int(quota) / int(period) if quota.isdigit() and int(period) > 0 else None


def _cgroup_texts(root: Path, name: str, *, controller: str) -> list[str]:
    return [text for folder in _cgroup_folders(root, controller) if (text := _read(folder / name))]


def _cgroup_folders(root: Path, controller: str) -> Iterator[Path]:
    """This process's cgroup and all its parents for a v1 controller, or for v2 when `controller` is empty."""
    mount = root / "sys/fs/cgroup"
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller not in controllers.split(","):
            continue
        # v2 is mounted at the top, or below `unified` beside v1; v1 in a folder named like its controllers.
        tops = (mount / controllers, mount / controller) if controller else (mount, mount / "unified")
        for top in tops:
            # Inside a container the path may name the host's tree; the parents that do exist count.
            folder = top / path.lstrip("/")
            yield from (step for step in (folder, *folder.parents) if step.is_relative_to(top) and step.is_dir())


def _memory_total(root: Path) -> int | None:
    for line in (_read(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def _cpuinfo(root: Path) -> dict[str, str]:
    """The first processor's block; all blocks name the same instruction sets on the machines we target."""
    block = (_read(root / "proc/cpuinfo") or "").split("\n\n", 1)[0]
    pairs = (line.split(":", 1) for line in block.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
