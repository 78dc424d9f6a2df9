"""The command line: results on stdout, all else on stderr; exit codes: 0 done, 1 a run failed, 2 bad input."""

import sys

from t3sim.cli.app import app
from t3sim.errors import T3SimError


def main() -> None:
    """Run the command line and exit."""
    try:
        app()
    except T3SimError as error:
        lines = str(error).splitlines() or [type(error).__name__]
        for line in lines:
            print(f"error: {line}" if line == lines[0] else f"       {line}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except OSError as error:  # stdout is full or gone
        print(f"error: cannot print: {error.strerror or error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
