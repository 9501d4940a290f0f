"""The section of a plan that only local runs read."""

from typing import Any

from pydantic import Field

from kernel.settings import Settings


class LocalPlan(Settings):
    """Read by `tertium run --local` only, which starts the parties itself: what their own configs would say."""

    tables: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="table -> a party config's [tables.…] section"
    )
