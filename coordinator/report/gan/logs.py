"""What TensorBoard shows of a GAN run beside what every run has: losses of each net and grids of synthetic rows, by process."""

from collections.abc import Iterator

from coordinator.report.gan.gan_record import GanRecord
from coordinator.synthetic_rows import grid, png, read_synthetic_rows


def gan_logs(found: GanRecord) -> dict[str, Iterator[tuple[float, int, str, float | bytes]]]:
    """Points (time, epoch, tag, a number or a PNG) of every party and the neutral server."""
    processes = dict.fromkeys([*found.parties, *(name for losses in found.losses for name in losses.means)])
    return {process: _points(found, process) for process in processes}


def _points(found: GanRecord, process: str) -> Iterator[tuple[float, int, str, float | bytes]]:
    times = {losses.epoch: losses.time for losses in found.losses}
    for losses in found.losses:
        for net, mean in losses.means.get(process, {}).items():
            yield losses.time, losses.epoch, f"loss/{net}", mean
    for preview in found.previews:
        if preview.party == process:
            image = png(grid(read_synthetic_rows(preview.path)), scale=2)
            yield times.get(preview.epoch, 0.0), preview.epoch, "synthetic_rows", image
