"""The `tertium` command, assembled from entry points (group `tertium.commands`): each daemon brings its own.

Exit codes: 0 done, 2 bad input, 3 a peer, 4 a fault, 5 policy or budget, 130 interrupted.
"""

import signal
import sys
from importlib.metadata import entry_points
from typing import Any

import typer

from kernel.errors import TertiumError

_INTERRUPTED = 130
# what typer raises for a wrong command line; newer ones bring click inside themselves and make only BadParameter public
_WrongCommandLine: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)

# a party installs without these; whoever needs them is told which extra brings them
_EXTRAS = {
    "jinja2": "coordinator",
    "matplotlib": "coordinator",
    "tensorboard": "coordinator",
    "tomli_w": "coordinator",
    "tensorflow": "neutral-server",
}


def build() -> typer.Typer:
    """The command with all sub-commands that installed packages offer. Imports nothing heavy."""
    app = typer.Typer(
        name="tertium",
        help="The neutral third: train one network over rows that never leave their holders.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.callback(invoke_without_command=True)
    def top(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
        if version:
            from kernel.version import VERSION

            typer.echo(VERSION)
            raise typer.Exit

    for entry in sorted(entry_points(group="tertium.commands"), key=lambda one: one.name):
        command = entry.load()
        if isinstance(command, typer.Typer):
            app.add_typer(_with_run(command) if entry.name == "attacks" else command, name=entry.name)
        else:
            app.command(entry.name)(command)
    return app


def _with_run(attacks: typer.Typer) -> typer.Typer:
    """The party's group, which needs every file named, with the command that finds them in a run directory."""
    from coordinator.cli.attacks import run

    joined = typer.Typer(help=attacks.info.help, no_args_is_help=True)
    joined.command()(run)
    joined.registered_commands += attacks.registered_commands
    return joined


def main() -> None:
    """Run the command; an error is one sentence on standard error and an exit code."""
    # as Ctrl-C: a local run takes its roles with it; a daemon sets its own handler and stops in order
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = build()(prog_name="tertium", standalone_mode=False)
    except TertiumError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        typer.echo(
            f'error: this needs {error.name}, which is not installed here; pip install "tertium[{extra}]"', err=True
        )
        sys.exit(2)
    except _WrongCommandLine as error:
        _explain(error)
        sys.exit(2)
    except (typer.Abort, KeyboardInterrupt):
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        typer.echo("error: interrupted", err=True)
    sys.exit(code if isinstance(code, int) else 0)


def _explain(error: Any) -> None:
    """One line, except for a group without a command: that has printed its help and has nothing to add."""
    sentence = error.format_message()
    if sentence:
        command = error.ctx.command_path if getattr(error, "ctx", None) else "tertium"
        typer.echo(f"error: {sentence.rstrip('.')}; see `{command} --help`", err=True)


if __name__ == "__main__":
    main()
