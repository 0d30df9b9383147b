"""A device's name as users write it: `jetson`, `nvidia@jetson.local`, `ssh://nvidia@10.0.0.7:2222`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgetool.errors import ConfigError

_HOST = re.compile(
    r"(?:(?P<scheme>ssh)://)?"
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?"
    r"(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+)"
    r"(?::(?P<port>[0-9]{1,5}))?"
)


@dataclass(frozen=True, slots=True)
class Host:
    """Where to log in.

    Attributes:
        name: a host name, an address, or a name from the user's ssh configuration.
        user, port: None for what the configuration says.
    """

    name: str
    user: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Host:
        """Raises ConfigError `invalid-host` for whatever could be read as an option or a command."""
        found = _HOST.fullmatch(text)
        if found is None or (found["port"] and not found["scheme"]) or not _is_port(found["port"]):
            raise ConfigError(
                "invalid-host",
                f"{text!r} is not a device that ssh can reach",
                where="[targets.NAME.builder] host",
                hint="write it as jetson, user@jetson, or ssh://user@jetson:22",
            )
        return cls(found["name"].strip("[]"), found["user"], int(found["port"]) if found["port"] else None)

    def arguments(self) -> list[str]:
        """For ssh's command line."""
        login = ["-l", self.user] if self.user else []
        port = ["-p", str(self.port)] if self.port else []
        return [*login, *port, "--", self.name]

    def __str__(self) -> str:
        login = f"{self.user}@{self.name}" if self.user else self.name
        return f"ssh://{login}:{self.port}" if self.port else login


def _is_port(text: str | None) -> bool:
    return text is None or 0 < int(text) < 65536
