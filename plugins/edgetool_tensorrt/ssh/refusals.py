"""What ssh and the device's shell say when they fail, as errors that say what to do next."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgetool.errors import ConfigError, DeviceError, EdgetoolError, HostError

_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|File too large|Wrote only \d+ of \d+")
_FORBIDDEN = re.compile(r"Permission denied|Read-only file system|Operation not permitted|Not a directory|File exists")


@dataclass(frozen=True, slots=True)
class _Refusal:
    """One way in which a login fails: how ssh words it, and what edgetool says."""

    pattern: re.Pattern[str]
    kind: type[EdgetoolError]
    code: str
    message: str
    hint: str


def _refusal(pattern: str, kind: type[EdgetoolError], code: str, message: str, hint: str) -> _Refusal:
    return _Refusal(re.compile(pattern, re.IGNORECASE), kind, code, message, hint)


# In this order: a changed host key ends in "Host key verification failed", too.
_REFUSALS = (
    _refusal(
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|host key for .* has changed",
        DeviceError,
        "host-key-changed",
        "the device shows another host key than before",
        "if the board was flashed anew, forget its old key with `ssh-keygen -R {name}` and log in once with "
        "`ssh {host}`; otherwise somebody may be in between",
    ),
    _refusal(
        r"Host key verification failed|No \S+ host key is known|host key is not cached",
        DeviceError,
        "host-key-unknown",
        "the device's host key is not known here",
        "log in once with `ssh {host}`, compare the key with the device's, and confirm it",
    ),
    _refusal(
        r"Bad configuration option|Bad owner or permissions|terminating, \d+ bad configuration|"
        r"Can't open user config file|Bad (?:port|number|yes/no argument)|garbage at end of line|missing argument",
        ConfigError,
        "ssh-config-invalid",
        "ssh refuses its own configuration",
        "correct the file that it names; `ssh -G {name}` shows what it understands",
    ),
    _refusal(
        r"Permission denied \(|Too many authentication failures|no (?:more|supported) authentication methods|"
        r"UNPROTECTED PRIVATE KEY|Account .* (?:expired|locked)",
        DeviceError,
        "login-refused",
        "the device refuses the login",
        "make `ssh -o BatchMode=yes {host} true` work: name the user, load the key into the agent, and install it "
        "with `ssh-copy-id {host}`; edgetool never asks for passwords",
    ),
)
_UNREACHABLE = _refusal(
    "",
    DeviceError,
    "host-unreachable",
    "the device cannot be reached",
    "check that it is on, in this network, and that `ssh {host} true` works",
)


def login_refusal(stderr: str, *, host: str, name: str) -> EdgetoolError:
    """The error for an ssh that ended before the device's shell answered."""
    refusal = next((row for row in _REFUSALS if row.pattern.search(stderr)), _UNREACHABLE)
    said = last_words(stderr)
    return refusal.kind(
        refusal.code,
        f"{refusal.message}: {said}" if said else refusal.message,
        where=host,
        hint=refusal.hint.format(host=host, name=name),
    )


def shell_refusal(said: str, *, host: str) -> DeviceError:
    """The error for a login that works and runs no command: it has no shell, or a start-up file that ends it."""
    words = last_words(said)
    return DeviceError(
        "device-command-failed",
        "the login works, and runs no command" + (f": {words}" if words else ""),
        where=host,
        hint=f"make `ssh {host} echo hello` print hello: look at the login's shell and at its start-up files",
    )


def script_refusal(stderr: str, *, host: str, doing: str) -> EdgetoolError:
    """The error for a script that failed on the device: `doing` says at what."""
    said = last_words(stderr) or "it does not say why"
    if _DISK_FULL.search(stderr):
        return device_disk_full(host, doing=doing)
    if _FORBIDDEN.search(stderr):
        return DeviceError(
            "device-folder-unusable",
            f"{doing} failed: {said}",
            where=host,
            hint="name a folder that the login may write to: device_folder in [targets.NAME.tensorrt]",
        )
    return DeviceError(
        "device-command-failed",
        f"{doing} failed on the device: {said}",
        where=host,
        hint=f"log in with `ssh {host}` and look; the device needs a POSIX shell, tar, sha256sum and setsid",
    )


def device_disk_full(host: str, *, doing: str) -> HostError:
    """The error for a device without room; nothing half-written stays there."""
    return HostError(
        "device-disk-full",
        f"no room left on the device: {doing} failed",
        where=host,
        hint="free some space there, or name a folder on a larger disk: device_folder in [targets.NAME.tensorrt]",
    )


def connection_lost(host: str, *, stderr: str = "") -> HostError:
    """The error for a connection that broke and did not come back in time."""
    said = last_words(stderr)
    return HostError(
        "connection-lost",
        "the connection to the device broke and did not come back" + (f": {said}" if said else ""),
        where=host,
        hint="check the network and the device's power, then run the same command again: it goes on where it can",
    )


def last_words(stderr: str) -> str:
    """The last line that says something, without ssh's decoration."""
    lines = [line.strip() for line in stderr.splitlines()]
    spoken = [line for line in lines if line and not line.startswith(("@", "debug"))]
    return spoken[-1].removeprefix("ssh: ")[:300] if spoken else ""
