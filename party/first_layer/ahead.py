"""What the steps to come need and the weights have no part in: made while the party waits for somebody."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from kernel.batch_order import RowIndices
from kernel.errors import StepError
from kernel.randomness import StreamPosition

Made = TypeVar("Made")


class Ahead(Generic[Made]):
    """One thing a step, in the order of the pass, at most one step early.

    Args:
      make: called once a step with its position and rows.
    """

    def __init__(self, make: Callable[[StreamPosition, RowIndices], Made]) -> None:
        self._make = make
        self._passes: set[tuple[int, int]] = set()
        self._due: deque[tuple[StreamPosition, RowIndices]] = deque()
        self._made: tuple[StreamPosition, Made] | None = None

    def open_pass(self, epoch: int, purpose: int, batches: Sequence[RowIndices]) -> None:
        """The steps to come; what was made for a pass before is dropped.

        Raises:
          StepError: the pass was opened before: its masks and triples would hide two different products.
        """
        if (purpose, epoch) in self._passes:
            raise StepError(
                f"epoch {epoch} was ordered twice in one generation; masks are used once: resume in a new generation"
            )
        self._passes.add((purpose, epoch))
        self._made = None
        self._due = deque((StreamPosition(epoch, step, purpose), rows) for step, rows in enumerate(batches))

    def make_ahead(self) -> None:
        """Make the next step's, unless it is made or the pass has no more."""
        if self._made is None and self._due:
            position, rows = self._due.popleft()
            self._made = position, self._make(position, rows)

    def take(self, position: StreamPosition) -> Made:
        """The step's own; each is given out once.

        Raises:
          StepError: another step is due.
        """
        self.make_ahead()
        if self._made is None or self._made[0] != position:
            raise StepError(
                f"step {position.step} was asked for out of order; masks and triples are used once, in order"
            )
        made, self._made = self._made[1], None
        return made
