"""The `tertium` command, assembled from entry points (group `tertium.commands`): each daemon brings its own.

Exit codes: 0 done, 2 bad input, 3 a peer, 4 a fault, 5 policy or budget.
"""

import sys
from importlib.metadata import entry_points

import click
import typer

from kernel.errors import TertiumError


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
            app.add_typer(command, name=entry.name)
        else:
            app.command(entry.name)(command)
    return app


def main() -> None:
    """Run the command; an error is one sentence on standard error and an exit code."""
    try:
        code = build()(standalone_mode=False)
    except TertiumError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        typer.echo("error: interrupted", err=True)
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
