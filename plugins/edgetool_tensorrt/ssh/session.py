"""A device that was found to be the one that the target means, and a connection to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edgetool.backends import Site
from edgetool.errors import ConfigError
from edgetool_tensorrt import trtexec
from edgetool_tensorrt.device import Device
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.ssh.compare import compare
from edgetool_tensorrt.ssh.connection import Connection, connect
from edgetool_tensorrt.ssh.probe import probe
from edgetool_tensorrt.version import Version

_HELP = 'exec "$1" --help 2>&1 </dev/null'
_CONNECT = 15.0  # seconds
_UNFIT_FOR_FILES = re.compile(r"[^A-Za-z0-9.]+")


@dataclass(frozen=True, slots=True)
class Session:
    """What building and running need of a device.

    Attributes:
        connection: logged in.
        device: as it described itself; it has a trtexec that tells its version.
        options: of the backend.
        note: told what the user should know.
    """

    connection: Connection
    device: Device
    options: TensorRtOptions
    note: Callable[[str], None]

    @property
    def where(self) -> str:
        return str(self.connection.host)

    @property
    def name(self) -> str:
        """What to call the device."""
        return self.device.model or self.device.gpu or self.where

    @property
    def trtexec(self) -> str:
        assert self.device.trtexec is not None  # or `compare` had refused the device
        return self.device.trtexec

    @property
    def version(self) -> Version:
        assert self.device.tensorrt is not None  # as above
        return self.device.tensorrt

    @property
    def timing_cache(self) -> str:
        """File name of its timings: an Orin NX and an AGX Orin share a compute capability, and not their timings."""
        words = (str(self.version), f"sm{self.device.sm}", self.device.model or self.device.gpu or self.device.arch)
        return "-".join(_UNFIT_FOR_FILES.sub("_", word) for word in words)

    def offered(self) -> frozenset[str] | None:
        """Long options in its trtexec's help; None where it lists none. Raises as `Connection.run`."""
        return trtexec.offered(self.connection.run(_HELP, self.trtexec).text) or None


@contextmanager
def opened(
    options: TensorRtOptions, site: Site, *, note: Callable[[str], None], device: Device | None = None
) -> Iterator[Session]:
    """Log in to the target's device, describe it, and compare it with the target.

    Args:
        options: of the backend.
        site: names the host, and says what the device is.
        note: told what the user should know.
        device: as a probe found it a moment ago; asked for if None.

    Raises:
        ConfigError: `invalid-host`, also when there is none.
        DeviceError, HostError: as `connect`, `probe` and `compare`.
    """
    if site.host is None:
        raise ConfigError(
            "invalid-host",
            "no device is named",
            where="[targets.NAME.builder] host",
            hint="write it as jetson, user@jetson, or ssh://user@jetson:22",
        )
    with connect(site.host, timeout=_CONNECT, note=note) as connection:
        found = device or probe(connection, options)
        compare(found, site, options)
        yield Session(connection, found, options, note)
