"""Entry point of `edgetool`: turns errors into one line and an exit code."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgetool.cli.output import Output

_BROKEN_PIPE = 141
"""What shells report for a program that was ended by SIGPIPE."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the documented code."""
    from edgetool.cli.streams import prepare_streams

    arguments = sys.argv[1:] if arguments is None else arguments
    prepare_streams()
    from edgetool.cli.output import Output
    from edgetool.errors import EdgetoolError, InterruptedByUserError

    output = Output(json="--json" in arguments)
    try:
        if arguments[:1] == ["verify"] and "--help" not in arguments:
            # An auditor may have nothing but Python: not even the command line's own library is loaded.
            from edgetool.trust.verifier import main as verify

            sys.exit(verify(arguments[1:]))
        from edgetool.cli.app import app

        app(args=arguments, prog_name="edgetool")
        sys.stdout.flush()
    except EdgetoolError as error:
        output.error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        output.error(InterruptedByUserError("interrupted-by-user", "interrupted; nothing half-written was kept"))
        sys.exit(InterruptedByUserError.exit_code)
    except OSError as error:
        sys.exit(_system_refused(error, output))
    except Exception as error:  # noqa: BLE001 - the outermost boundary: whatever arrives here is a bug
        import traceback

        traceback.print_exception(error)
        output.error(
            EdgetoolError(
                "unexpected-exception",
                f"this is a bug in edgetool: {type(error).__name__}: {error}",
                hint="please report it with the lines above and with what `edgetool doctor` prints",
            )
        )
        sys.exit(EdgetoolError.exit_code)


def _system_refused(error: OSError, output: Output) -> int:
    """The exit code for an operation that the system refused, most often writing the output itself."""
    from edgetool.cli.streams import discard_output
    from edgetool.disk import host_error

    if isinstance(error, BrokenPipeError):  # whoever read our output has seen enough
        discard_output()
        return _BROKEN_PIPE
    refused = host_error(error, Path())
    with contextlib.suppress(OSError):
        output.error(refused)
    discard_output()
    return refused.exit_code
