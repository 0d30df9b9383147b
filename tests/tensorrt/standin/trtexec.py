"""trtexec of a stand-in device: takes the options of its version, refuses others, builds and runs for real."""

from __future__ import annotations

import os
import signal
import sys

from tests.tensorrt.standin.itself import Itself, TrtexecError, myself, say


def main(arguments: list[str]) -> int:
    device = myself()
    device.remember_call("trtexec", arguments)
    options = {name: value for name, _, value in (one.removeprefix("--").partition("=") for one in arguments)}
    _verdict(device, "RUNNING", arguments)
    if "help" in options or "h" in options or "-h" in arguments:
        _help(device)
        return 0
    try:
        _work(device, options, arguments)
    except TrtexecError as error:
        if str(error):
            say("E", str(error))
        _verdict(device, "FAILED", arguments)
        return 1
    _verdict(device, "PASSED", arguments)
    return 0


def _work(device: Itself, options: dict[str, str], arguments: list[str]) -> None:
    if not options:
        return _help(device)
    unknown = [one for one in arguments if not one.startswith("--") or one[2:].partition("=")[0] not in device.taken]
    if unknown:
        _help(device)
        for one in unknown:
            name, _, value = one.partition("=")
            say("E", f"Unknown option: {name} {value}")
        raise TrtexecError
    if "onnx" not in options and "loadEngine" not in options:
        _help(device)
        raise TrtexecError("Model missing or format not recognized")
    _introduce(device, options)
    if "loadEngine" not in options:
        from tests.tensorrt.standin.building import build

        _strike(device, "build")
        build(device, options)
        if "skipInference" in options or "buildOnly" in options:
            return say("I", "Skipped inference phase since --skipInference is added.")
    from tests.tensorrt.standin.running import run

    _strike(device, "run")
    return run(device, options)


def _introduce(device: Itself, options: dict[str, str]) -> None:
    say("I", "=== Model Options ===")
    say("I", "Format: ONNX" if "onnx" in options else "Format: *")
    say("I", f"Model: {options.get('onnx', '')}")
    say("I", "=== Device Information ===")
    say("I", f"Selected Device: {device.gpu}")
    say("I", f"Compute Capability: {device.sm // 10}.{device.sm % 10}")
    say("I", f"Device Global Memory: {device.memory >> 20} MiB")
    say("I", "")
    say("I", "TensorRT version: " + ".".join(map(str, device.tensorrt)))


def _strike(device: Itself, phase: str) -> None:
    """The faults that end the program."""
    faults = device.faults
    if faults.phase != phase:
        return
    if faults.killed:
        os.kill(os.getpid(), signal.SIGKILL)
    if faults.die:
        say("I", "Start parsing network model.")
        os.kill(os.getpid(), signal.SIGSEGV)
    if faults.out_of_memory:
        say("E", "Error[1]: [defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)")
        say("W", "[TRT] Requested amount of GPU memory (15485030400 bytes) could not be allocated.")
    if faults.out_of_memory or faults.no_implementation:
        what = "Could not find any implementation for node {ForeignNode[a...b]}."
        say("E", f"Error[10]: Error Code: 10: Internal Error ({what})")
        say("E", "Engine could not be created from network")
        raise TrtexecError("Building engine failed")


def _verdict(device: Itself, word: str, arguments: list[str]) -> None:
    print(f"&&&& {word} TensorRT.trtexec {device.banner} # {' '.join(['trtexec', *arguments])}", flush=True)


def _help(device: Itself) -> None:
    print("=== Options ===")
    for name in device.listed:
        print(f"  --{name:<34}what the real program says of it, and of")
        print(f"{'':37}--itself in a second line")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
