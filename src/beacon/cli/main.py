"""`beacon`: commands by import path, so that asking for help loads nothing heavy."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from cyclopts import App, CycloptsError, Group, UnknownCommandError

from beacon import __version__
from beacon.cli.terminal import complain
from beacon.domain.names import suggest
from beacon.errors import BeaconError, ExitCode

JOBS = Group("Run jobs", sort_key=1)
RESULTS = Group("Read results", sort_key=2)
PROCESSES = Group("Run Beacon", sort_key=3)
EVIDENCE = Group("Check evidence", sort_key=4)
OTHER = Group("Options", sort_key=5)


@dataclass(frozen=True, slots=True)
class Command:
    """What the overview says of a command; the command's own docstring says the rest."""

    group: Group
    says: str

    def place(self, name: str) -> str:
        return f"beacon.cli.{name}:{name}"


COMMANDS = {
    "demo": Command(JOBS, "See it at work: simulated providers in three regions, a job, its findings, the portal."),
    "plan": Command(JOBS, "What a job would ask, take and cost, before anything is sent."),
    "run": Command(JOBS, "Run a job to its findings, or go on with one that was interrupted."),
    "watch": Command(JOBS, "Follow a job that another process runs."),
    "cancel": Command(JOBS, "Stop a job; what had finished is kept."),
    "schedule": Command(JOBS, "Run a job again and again, on a cron expression."),
    "retry": Command(JOBS, "Try again what failed in a job."),
    "jobs": Command(RESULTS, "List jobs, newest first."),
    "show": Command(RESULTS, "One job: status, counts, failures, findings."),
    "explain": Command(RESULTS, "Where an execution's time went, or what it is waiting for now."),
    "report": Command(RESULTS, "Everything that was compared in a job."),
    "export": Command(RESULTS, "A job's executions as CSV or JSON lines, or its sealed bundle."),
    "drift": Command(RESULTS, "What changed from one run to a later one."),
    "classify": Command(RESULTS, "Label any file of answers: refused, evasive, substantive, …"),
    "kpis": Command(RESULTS, "The eight measures that Beacon promises to hold, and the jobs that miss them."),
    "judge": Command(RESULTS, "A language model as judge of answers, and what its labels are worth."),
    "embed": Command(RESULTS, "Vectors of answers by an embedding model, for a report to compare."),
    "label": Command(
        RESULTS, "Labels by people: read the doubtful answers, import a file of labels, list who said what."
    ),
    "serve": Command(PROCESSES, "The portal, the API and a runner in one process."),
    "gateway": Command(PROCESSES, "The router as a service: OpenAI's API with a region, and a mailbox."),
    "worker": Command(PROCESSES, "Drive jobs of a PostgreSQL database, beside other workers."),
    "agent": Command(PROCESSES, "A mailbox beside an inference server: no finished answer is lost."),
    "lab": Command(PROCESSES, "Simulated providers in the foreground."),
    "pause": Command(PROCESSES, "Send nothing new to a provider or a region, until it is resumed."),
    "resume": Command(PROCESSES, "End a pause."),
    "limit": Command(PROCESSES, "Have at most so many requests under way at a provider or a region."),
    "migrate": Command(PROCESSES, "Bring the database up to date, or move a SQLite history to PostgreSQL."),
    "doctor": Command(PROCESSES, "Whether database, key and providers are fit for a job."),
    "verify": Command(EVIDENCE, "Check a job's bundle offline, without trusting whoever made it."),
    "log": Command(EVIDENCE, "The log of sealed jobs, its checkpoint, its audit."),
    "keys": Command(EVIDENCE, "The key that seals jobs."),
}
"""In the order in which they are shown."""


def build_app(*, overview: bool) -> App:
    """The commands, with a line on each for the overview: it would take the place of a command's own help."""
    app = App(
        name="beacon",
        help=(
            "Measures whether language models give people in different places different answers.\n\n"
            "Begin with `beacon demo --once`. `beacon COMMAND --help` explains a command."
        ),
        version=__version__,
        result_action="return_value",
        group_commands=OTHER,
    )
    for number, (name, command) in enumerate(COMMANDS.items()):
        says = command.says if overview else None
        app.command(command.place(name), name=name, help=says, group=command.group, sort_key=number)
    return app


def main() -> None:
    """The console entry: every error that is expected ends in a sentence and an exit code of the contract."""
    app = build_app(overview=not any(token in COMMANDS for token in sys.argv[1:2]))
    try:
        code = app(exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except UnknownCommandError as error:
        # The error's own text would import every command to find the nearest one.
        name = (error.unused_tokens or [""])[0]
        complain(f"there is no command {name!r}\n  to do: {suggest(name, COMMANDS)}; `beacon --help` explains them")
        code = ExitCode.BAD_INPUT
    except CycloptsError as error:
        named = " ".join(token for token in sys.argv[1:2] if token in COMMANDS)
        complain(
            f"{_sentence(error)}\n  to do: `{' '.join(filter(None, ('beacon', named, '--help')))}` shows the usage"
        )
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
    except OSError as error:
        # What the commands do with files and sockets is explained by them; this is what they print to.
        complain(f"the output cannot be written: {error.strerror}\n  to do: free some space, or name another place")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.UNAVAILABLE
    sys.exit(int(code or ExitCode.DONE))


def _sentence(error: CycloptsError) -> str:
    """Its words in the way of Beacon's own errors: a sentence without its full stop."""
    text = str(error).strip().removesuffix(".")
    return f"{text[:1].lower()}{text[1:]}"


if __name__ == "__main__":
    main()
