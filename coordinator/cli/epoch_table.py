"""The table that `tertium bench epoch` prints."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from coordinator.sweeps.bench_log import Record


def print_epochs(records: Sequence[Record], console: Console) -> None:
    """A row a case: medians, and ratios with their lowest and highest repetition."""
    table = Table("case", "split ms", "keras fit ms", "tf.function ms", "over fit", "over tf.function", "MB", "AUC gap")
    for record in records:
        in_ms = (record[key]["median"] * 1e3 for key in ("seconds", "keras_fit_seconds", "tf_function_seconds"))
        ratios = (record[key] for key in ("over_keras_fit", "over_tf_function"))
        table.add_row(
            record["case"],
            *(f"{value:.1f}" for value in in_ms),
            *(f"{one['median']:.2f} ({one['lowest']:.2f}-{one['highest']:.2f})" for one in ratios),
            f"{record['epoch_megabytes']:.2f}",
            f"{record['largest_score_gap']:+.6f}",
        )
    console.print(table)
