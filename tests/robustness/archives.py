"""Archives that are damaged, and archives whose index lies while all its hashes are right."""

from __future__ import annotations

import hashlib
import json
import lzma
from pathlib import Path
from random import Random

from edgetool.bundle.archive_index import FOOTER
from tests.robustness.bytes import damaged_bytes
from tests.robustness.documents import damaged_document
from tests.robustness.seeds import ARCHIVE, Seeds
from tests.robustness.words import PATHS


def mutated_archive(random: Random, seeds: Seeds, folder: Path) -> tuple[str, ...]:
    """`unpack` is given one, with a limit that a bomb exceeds."""
    path = seeds.take(ARCHIVE, folder)
    data = path.read_bytes()
    way = random.random()
    path.write_bytes(damaged_bytes(random, data) if way < 0.2 else _forged(random, data))
    output = random.choice(((), ("--output", "restored"), ("--output", "restored")))
    return ("unpack", ARCHIVE, *output, "--max-size", "64MiB")


def _forged(random: Random, data: bytes) -> bytes:
    start, packed, _ = FOOTER.unpack(data[-FOOTER.size :])
    streams, index = data[:start], lzma.decompress(data[start : start + packed])
    way = random.random()
    if way < 0.3:
        streams = streams[:8] + damaged_bytes(random, streams[8:])
    elif way < 0.6:
        document = json.loads(index)
        random.choice(document["files"])["path"] = random.choice(PATHS)
        index = json.dumps(document).encode()
    else:
        index = damaged_document(random, index)
    again = lzma.compress(index) if random.random() < 0.9 else damaged_bytes(random, lzma.compress(index))
    footer = FOOTER.pack(len(streams), len(again), b"")[:-32]
    body = streams + again + footer
    return body + hashlib.sha256(body).digest()
