"""`tertium schema NAME`."""

from typing import Annotated

import typer


def schema(
    name: Annotated[str, typer.Argument(help="plan, party, neutral-server or coordinator")] = "plan",
) -> None:
    """Print the JSON schema of a plan or a config file."""
    import json
    from importlib.metadata import entry_points

    from kernel.errors import SettingsError

    models = {entry.name: entry for entry in entry_points(group="tertium.settings")}
    if name not in models:
        raise SettingsError(f"there is no schema {name!r}; schemas are {', '.join(sorted(models))}")
    typer.echo(json.dumps(models[name].load().model_json_schema(), indent=2))
