"""The second life of two parties: the directories they left, served by other processes."""

from dataclasses import dataclass, field
from pathlib import Path

from house import breast_cancer_plan
from local_runs import FinishedRun
from recordings import rows_of

from coordinator.local.federation import LocalFederation, local_table
from coordinator.plan import Plan, parse_plan

NEW_ROWS = range(5, 569, 9)
"""Rows of breast_cancer that stand, backwards, in the file of the table `new-rows`."""


@dataclass
class SecondLife:
    """A local federation on a directory that another federation has left.

    Attributes:
      directory: of the run that the roles trained in their first life; federation: who serves it now.
    """

    first_run: FinishedRun
    directory: Path
    federation: LocalFederation = field(init=False)

    def start(self) -> None:
        """As `tertium predict` does: every party declares a further table, a file."""
        plan = self._plan()
        tables = {"new-rows": local_table(plan, "new-rows")}
        self.federation = LocalFederation(self.directory, plan, extra_tables=tables)
        self.federation.__enter__()

    def stop(self) -> None:
        self.federation.stop()

    def _plan(self) -> Plan:
        """The run's plan with the file under [local.tables]; both parties' columns, without the label."""
        file = self.directory / "new_rows.csv"
        owned = [rows_of(self.first_run, party.name) for party in self.first_run.plan.parties]
        values = {name: one.table.values[name].tolist() for one in owned for name in one.names}
        lines = [",".join(repr(column[row]) for column in values.values()) for row in reversed(NEW_ROWS)]
        file.write_text("\n".join([",".join(values), *lines]) + "\n", encoding="utf-8")
        section = {"source": str(file), "columns": {name: {"type": "real", "low": 0} for name in values}}
        return parse_plan(breast_cancer_plan("masked_sum", tables={"new-rows": section}))
