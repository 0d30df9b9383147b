"""Entry point of `edgetool`: turns errors into one line and an exit code."""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the documented code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["verify"] and "--help" not in arguments:
        # A device or an auditor may have nothing but Python: not even the command line's own library is loaded.
        from edgetool.bundle.verify import main as verify

        sys.exit(verify(arguments[1:]))
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
