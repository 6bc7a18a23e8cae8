"""`beacon`: commands by import path, so that asking for help loads nothing heavy."""

from __future__ import annotations

import os
import sys

from cyclopts import App, CycloptsError

from beacon import __version__
from beacon.cli.terminal import complain
from beacon.errors import BeaconError, ExitCode

app = App(
    name="beacon",
    help="Measures whether language models give people in different places different answers.",
    version=__version__,
    result_action="return_value",
)

COMMANDS = {
    "demo": "beacon.cli.demo:demo",
    "run": "beacon.cli.run:run",
    "plan": "beacon.cli.plan:plan",
    "serve": "beacon.cli.serve:serve",
    "agent": "beacon.cli.agent:agent",
    "lab": "beacon.cli.lab:lab",
    "jobs": "beacon.cli.jobs:jobs",
    "show": "beacon.cli.show:show",
    "watch": "beacon.cli.watch:watch",
    "cancel": "beacon.cli.cancel:cancel",
    "retry": "beacon.cli.retry:retry",
    "report": "beacon.cli.report:report",
    "export": "beacon.cli.export:export",
    "classify": "beacon.cli.classify:classify",
}
for _name, _place in COMMANDS.items():
    app.command(_place, name=_name)


def main() -> None:
    """The console entry: every error that is expected ends in a sentence and an exit code of the contract."""
    try:
        code = app(exit_on_error=False, print_error=False)
    except CycloptsError as error:
        complain(f"{error}\n  to do: `beacon {' '.join(sys.argv[1:2])} --help` shows how it is used")
        code = ExitCode.BAD_INPUT
    except BeaconError as error:
        complain(error.explain())
        code = error.exit_code
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe is gone, as after `beacon jobs | head`: nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.DONE
    sys.exit(int(code or ExitCode.DONE))


if __name__ == "__main__":
    main()
