"""What a coordinator may ask about a table that GANs would learn from, on this machine: counts. No cell."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from party.gan.rows import load_gan_rows
from party.rows.builtin import default_data_directory
from party.rows.sizes import table_settings
from protos.v1 import plan_pb2


def gan_counts(
    part: plan_pb2.PartyPlan,
    sections: Mapping[str, Mapping[str, Any]],
    classes: Sequence[int],
    test_fraction: float,
    seed: int,
) -> dict[str, Any]:
    """``classes``: label -> training rows, as a party with these tables would count them for this part of a plan;
    ``columns``: how many; ``image``: height and width, 0 and 0 where a row is no image.

    Args:
      sections: table -> a party config's section; the others as in ``load_gan_rows``.

    Raises:
      RowsError: a table cannot be read, or GANs cannot learn from it.
    """
    tables = {name: table_settings(section) for name, section in sections.items()}
    rows = load_gan_rows(part, tables, default_data_directory(os.environ), classes, test_fraction, seed)
    return {
        "classes": {label: len(train) for label, train in rows.train.items()},
        "columns": len(rows.columns),
        "image": (0, 0) if rows.image is None else (rows.image.height, rows.image.width),
    }
