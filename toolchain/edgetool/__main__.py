"""`python -m edgetool` is `edgetool`."""

from edgetool.cli.entry import main

main()
