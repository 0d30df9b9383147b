"""nvidia-smi of a stand-in device: answers `--query-gpu=FIELDS --format=csv[,noheader][,nounits]`."""

from __future__ import annotations

import sys

from tests.tensorrt.standin.itself import myself


def main(arguments: list[str]) -> int:
    device = myself()
    device.remember_call("nvidia-smi", arguments)
    options = dict(one.removeprefix("--").split("=", 1) for one in arguments if "=" in one)
    style = options.get("format", "").split(",")
    if "query-gpu" not in options or style[0] != "csv":
        print("Invalid combination of input arguments.")
        return 1
    unit = "" if "nounits" in style else " MiB"
    known = {
        "name": device.gpu,
        "compute_cap": f"{device.sm // 10}.{device.sm % 10}",
        "driver_version": device.driver,
        "memory.total": f"{device.memory >> 20}{unit}",
        "temperature.gpu": "41",
        "clocks.sm": f"1020{'' if 'nounits' in style else ' MHz'}",
    }
    fields = options["query-gpu"].split(",")
    for field in fields:
        if field not in known:
            print(f'Field "{field}" is not a valid field to query.\n')
            return 2
    if "noheader" not in style:
        print(", ".join("memory.total [MiB]" if one == "memory.total" else one for one in fields))
    print(", ".join(known[one] for one in fields))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
