"""A container registry on this machine, and the closed format of ModelPack's configuration."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_CONFIG = """\
version: 0.1
log: {{ level: error, accesslog: {{ disabled: true }} }}
storage: {{ filesystem: {{ rootdirectory: {storage} }} }}
http: {{ addr: 127.0.0.1:{port} }}
"""


@contextlib.contextmanager
def running_registry(program: str, folder: Path) -> Iterator[str]:
    """Its `HOST:PORT`, once it answers; what it stores lies below `folder`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "registry.yml").write_text(_CONFIG.format(storage=folder / "storage", port=port))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", folder / "registry.yml"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, "the registry does not answer"
                time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)


MODALITY = {"enum": ["text", "image", "audio", "video", "embedding", "other"]}
TEXT, TEXTS = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}


def _closed(*required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "required": list(required),
    }


MODELPACK_CONFIG = _closed(
    "descriptor",
    "modelfs",
    "config",
    descriptor=_closed(
        createdAt=TIME,
        authors=TEXTS,
        family=TEXT,
        name={"type": "string", "minLength": 1},
        docURL=TEXT,
        sourceURL=TEXT,
        datasetsURL=TEXTS,
        version=TEXT,
        revision=TEXT,
        vendor=TEXT,
        licenses=TEXTS,
        title=TEXT,
        description=TEXT,
    ),
    modelfs=_closed(
        "type", "diffIds", type={"enum": ["layers"]}, diffIds={"type": "array", "items": TEXT, "minItems": 1}
    ),
    config=_closed(
        architecture=TEXT,
        format=TEXT,
        paramSize=TEXT,
        precision=TEXT,
        quantization=TEXT,
        capabilities=_closed(
            inputTypes={"type": "array", "items": MODALITY},
            outputTypes={"type": "array", "items": MODALITY},
            knowledgeCutoff=TIME,
            reasoning={"type": "boolean"},
            toolUsage={"type": "boolean"},
            reward={"type": "boolean"},
            languages={"type": "array", "items": {"type": "string", "pattern": "^[a-z]{2}$"}},
        ),
    ),
)
"""What version 1 of ModelPack allows, as a JSON schema: nothing else may be in a configuration."""
