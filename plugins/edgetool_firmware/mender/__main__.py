"""`python -m edgetool_firmware.mender > edgetool-model`: the update module, for /usr/share/mender/modules/v3."""

from __future__ import annotations

import sys
from importlib.resources import files

from edgetool_firmware.device import script

if __name__ == "__main__":
    sys.stdout.write(script(files("edgetool_firmware.mender").joinpath("module.sh").read_text()))
