"""TensorBoard's files of a GAN run, read back record by record: losses by process, grids as images."""

from pathlib import Path
from typing import Any

from logged_gan_run import EPOCHS, write_gan_run
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub.errors import OutOfRangeError
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

from coordinator.report.tensorboard_log import write_tensorboard
from coordinator.synthetic_rows import png_size


def values(path: Path) -> list[tuple[int, Any]]:
    reader, found = PyRecordReader_New(str(path)), []
    while True:
        try:
            reader.GetNext()
        except OutOfRangeError:
            return found
        event = Event.FromString(reader.record())
        found += [(event.step, value) for value in event.summary.value]


def test_each_process_has_its_losses_and_each_party_its_grids(tmp_path: Path) -> None:
    written = {path.parent.name: values(path) for path in write_tensorboard(write_gan_run(tmp_path / "run"))}
    assert set(written) == {"privgan", "party-a", "party-b", "neutral-server"}
    generator = [(step, value.simple_value) for step, value in written["party-a"] if value.tag == "loss/generator"]
    assert [step for step, _ in generator] == list(range(1, EPOCHS + 1))
    assert abs(generator[0][1] - (2.0 + 1.0 + 0.9) / 3) < 1e-6
    assert {value.tag for _, value in written["neutral-server"]} == {"loss/shared_discriminator"}
    images = [(step, value.image) for step, value in written["party-b"] if value.tag == "synthetic_rows"]
    assert [step for step, _ in images] == [4, 8, 12]
    image = images[0][1]
    assert (image.height, image.width) == png_size(image.encoded_image_string)
    assert image.height == 2 * (2 * (8 + 2) + 2)  # two classes of tiles with borders, drawn twice as large
    assert image.width == 2 * (8 * (8 + 2) + 2)
