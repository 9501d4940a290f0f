"""TensorBoard scalars and images of a run, without TensorFlow.

Records go through TensorBoard's own writer of TFRecords and its own protobufs; ``EventFileWriter`` is
left alone, because its file layer imports TensorFlow wherever that is installed: seven seconds, for nothing.
Runs share their tags, so that TensorBoard lays one curve over the other: ``split`` and ``plain``; of GANs, one a party, and the job
for all of them together.
"""

import io
from collections.abc import Iterable
from pathlib import Path

from coordinator.report.gan.gan_record import gan_record, is_gan_run
from coordinator.report.gan.logs import gan_logs
from coordinator.report.run_record import RunRecord, read_run
from coordinator.synthetic_rows import png_size

FILE_NAME = "events.out.tfevents.0.tertium"
FILE_VERSION = "brain.Event:2"

Point = tuple[float, int, str, float | bytes]
"""(time, epoch, tag, a number or a PNG)"""


def write_tensorboard(run_directory: Path) -> tuple[Path, ...]:
    """Writes ``tensorboard/<method>/`` of a run; a second call replaces the files.

    Tags: loss/epoch, seconds/epoch, bytes/epoch (all links together), scores/<name>; of GANs also loss/<net> and the image
    synthetic_rows; the step is the epoch.

    Returns:
      The files written; a method without points has none.

    Raises:
      BadInputError: the directory holds no run.
    """
    record = read_run(run_directory)
    written = []
    logs = {record.method: _own_points(record), "plain": _plain_points(record)}
    if is_gan_run(record):
        logs |= gan_logs(gan_record(record))
    for method, points in ((method, list(points)) for method, points in logs.items()):
        if points:
            path = run_directory / "tensorboard" / method / FILE_NAME
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_encode(points))
            written.append(path)
    return tuple(written)


def _own_points(record: RunRecord) -> Iterable[Point]:
    for epoch in record.epochs:
        at = epoch.time.timestamp() if epoch.time else 0.0
        if epoch.loss is not None:
            yield at, epoch.epoch, "loss/epoch", epoch.loss
        if epoch.seconds is not None:
            yield at, epoch.epoch, "seconds/epoch", epoch.seconds
        if epoch.payload_bytes:
            yield at, epoch.epoch, "bytes/epoch", float(sum(epoch.payload_bytes.values()))
    for evaluation in record.evaluations:
        at = evaluation.time.timestamp() if evaluation.time else 0.0
        for name, score in evaluation.scores.items():
            yield at, evaluation.epoch, f"scores/{name}", score.value


def _plain_points(record: RunRecord) -> Iterable[Point]:
    if record.baseline is None:
        return
    first = record.epochs[0].epoch if record.epochs else 1
    for offset, loss in enumerate(record.baseline.losses):
        yield 0.0, first + offset, "loss/epoch", loss
    for offset, seconds in enumerate(record.baseline.keras_fit_seconds):
        yield 0.0, first + offset, "seconds/epoch", seconds
    last = first + max(len(record.baseline.losses) - 1, 0)
    for name, score in record.baseline.scores.items():
        yield 0.0, last, f"scores/{name}", score.value


def _encode(points: Iterable[Point]) -> bytes:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    encoded = io.BytesIO()
    records = RecordWriter(encoded)
    records.write(Event(wall_time=0.0, file_version=FILE_VERSION).SerializeToString())
    for at, step, tag, value in points:
        if isinstance(value, bytes):
            height, width = png_size(value)
            image = Summary.Image(height=height, width=width, colorspace=1, encoded_image_string=value)
            summary = Summary(value=[Summary.Value(tag=tag, image=image)])
        else:
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        records.write(Event(wall_time=at, step=step, summary=summary).SerializeToString())
    return encoded.getvalue()
