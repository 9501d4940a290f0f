"""Labels as the loss reads them, and the label head's linear outputs as people read them.

| loss | column | encoded | decoded |
|---|---|---|---|
| binary | boolean, or two declared classes | float32[rows], 0 or 1 | P(1), float64[rows] |
| multiclass | category, boolean, integer with low and high | int64[rows] | softmax, float64[rows, classes] |
| regression | real or integer | float32[rows], standardised | in the column's unit, float64[rows] |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, get_args

import numpy as np
from numpy.typing import NDArray

from kernel.errors import RowsError, TertiumError
from kernel.network import LOSSES, LossName
from party.rows.encoding import mean_and_deviation
from party.rows.schema import Column, ColumnType
from party.rows.table import Table, check_row_numbers


def _classes(column: Column, name: str) -> tuple[str, ...]:
    """The declared classes, in the order of their index."""
    if column.type == "category":
        return column.categories
    if column.type == "boolean":
        return ("false", "true")
    if column.type == "real":
        raise RowsError(f'Label "{name}" is real; classes need a boolean, category or integer column, or regression.')
    if column.low is None or column.high is None:
        raise RowsError(
            f'Label "{name}" is an integer column without low and high; declare both, they are its classes.'
        )
    if column.low != int(column.low) or column.high != int(column.high) or column.high - column.low >= 100_000:
        raise RowsError(f'Label "{name}" needs whole low and high, fewer than 100,000 classes apart.')
    return tuple(str(value) for value in range(int(column.low), int(column.high) + 1))


@dataclass(frozen=True, eq=False)
class LabelEncoder:
    """Encodes one label column and decodes the label head's outputs.

    Attributes:
      column, type: the label column and its declared type.
      loss, outputs: the network's; ``outputs`` is 1 for binary and regression.
      classes: declared classes by index; empty for regression.
      mean, deviation: of the training rows' labels; 0 and 1 for classes.
    """

    column: str
    type: ColumnType
    loss: LossName
    outputs: int
    classes: tuple[str, ...]
    mean: float
    deviation: float

    @classmethod
    def fit(cls, table: Table, column: str, loss: LossName, outputs: int, training_rows: NDArray[np.int64]) -> Self:
        """Match a label column to a loss.

        Args:
          table: the label holder's table.
          column: the label's name.
          loss: kernel.network.LossName.
          outputs: width of the label head.
          training_rows: int64[n] row numbers; no other row is looked at.

        Raises:
          RowsError: a column of another kind than the loss needs, a number of classes other than ``outputs``,
            a single class or a constant value in the training rows.
        """
        values, declared = table.column(column)
        known = values[check_row_numbers(table, training_rows, "training")]
        if loss == "regression":
            if declared.type not in ("real", "integer"):
                raise RowsError(f'Label "{column}" is {declared.type}; regression needs a real or integer column.')
            if outputs != 1:
                raise RowsError(f"Regression has 1 output, the plan says {outputs}; set outputs = 1.")
            if known.min() == known.max():
                raise RowsError(f'Label "{column}" is constant in the {len(known)} training rows; choose other rows.')
            mean, deviation = mean_and_deviation(known, column)
            return cls(column, declared.type, loss, outputs, (), mean, deviation)
        classes = _classes(declared, column)
        if loss == "binary" and (len(classes) != 2 or outputs != 1):
            raise RowsError(
                f'A binary loss has 2 classes and 1 output; label "{column}" declares {len(classes)} classes '
                f"and the plan says {outputs} outputs. Set outputs = 1, or use multiclass."
            )
        if loss == "multiclass" and len(classes) != outputs:
            raise RowsError(
                f'Label "{column}" declares {len(classes)} classes and the plan says {outputs} outputs; '
                f"set outputs = {len(classes)}."
            )
        if known.min() == known.max():
            raise RowsError(
                f'Label "{column}" has only one class in the {len(known)} training rows; wanted at least '
                "two. Check the split and the order of the rows."
            )
        return cls(column, declared.type, loss, outputs, classes, 0.0, 1.0)

    def encode(self, table: Table) -> NDArray[np.float32] | NDArray[np.int64]:
        """Labels of every row, as the table above says. RowsError where the column is absent or declared
        otherwise.
        """
        values, declared = table.column(self.column)
        if declared.type != self.type or (self.classes and _classes(declared, self.column) != self.classes):
            raise RowsError(
                f'Label "{self.column}" of {table.name} is declared as {declared.type}; the encoder was '
                f"fitted to {self.type} with {len(self.classes)} classes. Declare it alike."
            )
        if self.loss == "regression":
            return ((values.astype(np.float64) - self.mean) / self.deviation).astype(np.float32)
        indices = values.astype(np.int64)
        if self.type == "integer":
            indices -= int(self.classes[0])
        return indices.astype(np.float32) if self.loss == "binary" else indices

    def decode(self, outputs: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Linear outputs of the label head, [rows, outputs], as the table above says.

        float64, because float32 probabilities tie at 1 from an output of 17 on and ties move an AUC.

        Raises:
          TertiumError: another shape.
        """
        if outputs.ndim != 2 or outputs.shape[1] != self.outputs:
            raise TertiumError(f"The label head gave {list(outputs.shape)}; wanted [rows, {self.outputs}].")
        linear = outputs.astype(np.float64)
        if self.loss == "regression":
            return linear[:, 0] * self.deviation + self.mean
        if self.loss == "binary":
            small = np.exp(-np.abs(linear[:, 0]))  # never overflows
            return np.where(linear[:, 0] >= 0, 1.0 / (1.0 + small), small / (1.0 + small))
        shifted = np.exp(linear - linear.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float64)

    def state(self) -> dict[str, NDArray[Any]]:
        """Plain numeric and unicode arrays for ``np.savez``; ``from_state`` reads them back."""
        return {
            "column": np.array(self.column),
            "type": np.array(self.type),
            "loss": np.array(self.loss),
            "outputs": np.array(self.outputs, dtype=np.int64),
            "classes": np.array(self.classes, dtype=np.str_),
            "mean": np.array(self.mean, dtype=np.float64),
            "deviation": np.array(self.deviation, dtype=np.float64),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """The encoder whose ``state`` this is. RowsError where it is not one."""
        try:
            kind, loss = str(state["type"]), str(state["loss"])
            types: dict[str, ColumnType] = {name: name for name in get_args(ColumnType)}
            losses: dict[str, LossName] = {name: name for name in LOSSES}
            return cls(
                column=str(state["column"]),
                type=types[kind],
                loss=losses[loss],
                outputs=int(state["outputs"]),
                classes=tuple(str(text) for text in state["classes"]),
                mean=float(state["mean"]),
                deviation=float(state["deviation"]),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise RowsError(
                f"This is not the state of a label encoder ({type(error).__name__}); fit the encoder again."
            ) from None
