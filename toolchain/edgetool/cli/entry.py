"""Entry point of `edgetool`: turns errors into one line and an exit code."""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the documented code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    from edgetool.cli.app import app
    from edgetool.cli.output import Output
    from edgetool.errors import EdgetoolError, InterruptedByUserError

    output = Output(json="--json" in arguments)
    try:
        app(args=arguments, prog_name="edgetool")
    except EdgetoolError as error:
        output.error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        output.error(InterruptedByUserError("interrupted-by-user", "interrupted; nothing half-written was kept"))
        sys.exit(InterruptedByUserError.exit_code)
