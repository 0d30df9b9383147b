"""Where things are in a bundle, besides what `bundle.verify` has to know by itself."""

from __future__ import annotations

MODEL_FOLDER = "model"
"""What the runtime loads."""

IO_FOLDER = "io"
"""Golden inputs and outputs."""

SOURCE_FOLDER = "src"
"""The device's self-test in C."""

VALIDATION = "reports/validation.json"
