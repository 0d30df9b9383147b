"""In which way this machine can show an engine on another processor, if it can."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeAlias

from edgetool.emulate.processors import Processor

PACKAGES = {
    "qemu-x86_64": "qemu-user",
    "qemu-aarch64": "qemu-user",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
}
"""Program -> Debian's packages with it."""

COMPILERS = {"aarch64": "aarch64-linux-gnu-gcc"}


@dataclass(frozen=True, slots=True)
class Subject:
    """What of an engine decides how it can be tried elsewhere.

    Attributes:
        backend: its name.
        on_processor: the processor executes it, so that instruction sets matter.
        isa_variable: environment variable of its runtime that masks instruction sets, in oneDNN's words.
        runtime: of the self-test without Python; None where the backend has none.
    """

    backend: str
    on_processor: bool
    isa_variable: str | None
    runtime: str | None


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine has to show it with.

    Attributes:
        arch: as `uname -m` says.
        isa: as /proc/cpuinfo spells them.
        which: path of a program, or None.
    """

    arch: str
    isa: Collection[str]
    which: Callable[[str], str | None] = shutil.which


@dataclass(frozen=True, slots=True)
class Masked:
    """This processor, with a runtime that is told to leave the newer instructions alone."""

    variable: str
    value: str


@dataclass(frozen=True, slots=True)
class Emulated:
    """The same runtime, its process under an emulator of this instruction set."""

    program: str
    cpu: str


@dataclass(frozen=True, slots=True)
class CrossTested:
    """The self-test in C, compiled for another instruction set, under an emulator, with the runtime's library for it.

    Attributes:
        runtime: whose library.
    """

    program: str
    cpu: str
    compiler: str
    runtime: str


@dataclass(frozen=True, slots=True)
class NotShown:
    """Not at all.

    Attributes:
        why: one sentence.
        fix: what would help.
    """

    why: str
    fix: str | None


Way: TypeAlias = Masked | Emulated | CrossTested | NotShown


def way_to(processor: Processor, subject: Subject, machine: Machine, *, masking: bool) -> Way:
    """How to show the engine on a processor.

    An emulator also changes what the runtime reads of the processor, and with it its default precision; a mask
    only changes the kernels, and costs no time.

    Args:
        masking: prefer the mask to the emulator.
    """
    if not subject.on_processor:
        return NotShown(
            f"an engine of {subject.backend} for this target does not run on the processor",
            "validate it on the device: edgetool validate BUNDLE --on HOST",
        )
    mask = _mask(processor, subject, machine)
    if masking and isinstance(mask, Masked):
        return mask
    if processor.qemu is not None:
        return _emulator(processor, processor.qemu, subject, machine)
    return mask


def how_to_get(program: str) -> str:
    return f"apt-get install {PACKAGES[program]}"


def _mask(processor: Processor, subject: Subject, machine: Machine) -> Masked | NotShown:
    elsewhere = f"run edgetool validate BUNDLE on a machine with {processor.description}"
    if subject.isa_variable is None or processor.onednn is None:
        return NotShown("qemu has no AVX-512, and this runtime cannot leave instruction sets unused", elsewhere)
    if machine.arch != processor.arch:
        return NotShown(f"this machine is {machine.arch}, and not {processor.arch}", elsewhere)
    if lacking := [name for name in processor.isa if name not in machine.isa]:
        return NotShown(f"this machine has no {', '.join(lacking)} itself", elsewhere)
    return Masked(subject.isa_variable, processor.onednn)


def _emulator(processor: Processor, cpu: str, subject: Subject, machine: Machine) -> Emulated | CrossTested | NotShown:
    program = machine.which(f"qemu-{processor.arch}")
    if program is None:
        missing = f"qemu-{processor.arch}"
        return NotShown(f"{missing} is not installed", how_to_get(missing))
    if processor.arch == machine.arch:
        return Emulated(program, cpu)
    compiler = COMPILERS.get(processor.arch)
    if compiler is None or subject.runtime is None:
        return NotShown(f"this machine is {machine.arch}, and not {processor.arch}", "validate it on such a machine")
    found = machine.which(compiler)
    if found is None:
        return NotShown(f"{compiler} is not installed", how_to_get(compiler))
    return CrossTested(program, cpu, found, subject.runtime)
