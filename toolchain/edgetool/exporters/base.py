"""The contract of an exporter: a checked bundle in, one package for an update system out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

import pydantic

from edgetool.artifact import Facts
from edgetool.bundle.read import Bundle
from edgetool.problem import Problem
from edgetool.trust.signer import Signer

Signing: TypeAlias = Literal["never", "optional", "required"]


class ExporterOptions(pydantic.BaseModel):
    """Base of every exporter's options: closed, immutable, each field documented."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportContext:
    """What an exporter is given beside the bundle.

    Attributes:
        name: of the package, without a suffix: `NAME-VERSION-TARGET`.
        created: seconds since 1970 for every time in the package; the bundle's own, else 0.
        signer: the user's key; None where there is none. Never None where `signing` is "required".
        signature: the bundle's own signature file, which travels beside it; None where it was not signed.
    """

    name: str
    created: int = 0
    signer: Signer | None = None
    signature: Path | None = None


OptionsT = TypeVar("OptionsT", bound=ExporterOptions)


class Exporter(ABC, Generic[OptionsT]):
    """Bundle -> package. Equal bundles give equal bytes, signatures with random schemes excepted.

    The framework has checked every byte of the bundle before, and moves what `export` wrote into its place
    afterwards: an exporter neither verifies nor cleans up.

    Class attributes:
        Options: the pydantic model of its options; a field without a default must be given by the user.
        suffix: of the package's file name, `.swu`; empty where the package is a folder.
        folder: of a package that is a folder, what is appended to its name: `-yocto`.
        signing: whether it is signed with the user's key.
        certified: True when the signature also needs the key's certificate.
    """

    Options: ClassVar[type[ExporterOptions]]
    suffix: ClassVar[str] = ""
    folder: ClassVar[str] = ""
    signing: ClassVar[Signing] = "never"
    certified: ClassVar[bool] = False

    def __init__(self, options: OptionsT) -> None:
        self.options = options

    def check(self, bundle: Bundle) -> tuple[Problem, ...]:
        """Reasons why this bundle cannot be put into this format; a refusal ends the command with exit 3."""
        return ()

    @abstractmethod
    def export(self, bundle: Bundle, destination: Path, context: ExportContext) -> Facts:
        """Write the package and say what is worth knowing about it.

        Args:
            bundle: checked; its files are at `bundle.path`.
            destination: a path that does not exist, in a folder that does; a file is to be written there, or a folder
                where `suffix` is empty.
            context: names, times and the key.

        Raises:
            ConfigError: the key does not suit the format.
            UnavailableError: a program that the format needs is not installed.
            OSError: the system refused; the framework says which disk or permission.
        """


AnyExporter = Exporter[Any]
