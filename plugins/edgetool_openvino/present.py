"""`python -m edgetool_openvino.present [NAME LIBRARY]`: the devices that OpenVINO sees here, as a JSON list."""

from __future__ import annotations

import json
import sys

from edgetool_openvino.runtime import load_runtime


def main(arguments: list[str]) -> None:
    """Print the devices, after registering a plugin under a name if one is given."""
    core = load_runtime().Core()
    if arguments:
        name, library = arguments
        core.register_plugin(library, name)
    sys.stdout.write(json.dumps(list(core.available_devices)))


if __name__ == "__main__":
    main(sys.argv[1:])
