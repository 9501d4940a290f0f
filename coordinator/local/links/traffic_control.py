"""Command lines of iproute2: namespaces, veth pairs, and the queues that give a link its rate and delay.

Everything here builds lists of words; `run` is the only thing that starts a process.
"""

import shutil
import subprocess

from kernel.errors import BadInputError, TertiumError

_FRAME_BYTES = 1514
_BURST_SECONDS = 1 / 8000
_QUEUE_MS = 200
_COMMAND_SECONDS = 30.0
_NETEM_PACKETS = 100_000


def burst_bytes(rate_mbps: float) -> int:
    """Bytes a link lets through at once after it was idle, per direction.

    An epoch goes back and forth: a link that rests half of the time saves up tokens in each rest, and a burst of 4 ms
    (`tc`'s usual advice) makes steps of 160 kB 25 % faster than the wire. 1/8 ms, yet never less than two frames, costs
    an epoch at most 2 % of what it gives away and still reaches 95 % of the rate up to 500 Mbit/s. Between 500 and
    1000 Mbit/s the timers of a small machine begin to show: the achieved rate is measured and recorded beside the nominal.
    """
    return max(2 * _FRAME_BYTES + 172, round(rate_mbps * 1e6 / 8 * _BURST_SECONDS))


def shape_commands(namespace: str, device: str, rate_mbps: float | None, delay_ms: float) -> list[list[str]]:
    """What one end of a link sends from now on: tbf for the rate, netem below it for the delay.

    The first command removes what was there, and fails on a device that has no queue yet: run it with ``check=False``.
    """
    tc = ["tc", "-n", namespace, "qdisc"]
    commands = [[*tc, "del", "dev", device, "root"]]
    parent = ["root", "handle", "1:"]
    if rate_mbps is not None:
        limits = ["burst", str(burst_bytes(rate_mbps)), "latency", f"{_QUEUE_MS}ms"]
        commands.append([*tc, "add", "dev", device, *parent, "tbf", "rate", f"{round(rate_mbps * 1e6)}bit", *limits])
        parent = ["parent", "1:1", "handle", "10:"]
    if delay_ms:
        delay = ["netem", "delay", f"{delay_ms:g}ms", "limit", str(_NETEM_PACKETS)]
        commands.append([*tc, "add", "dev", device, *parent, *delay])
    return commands


def pair_commands(
    here: str | None, device: str, there: str, far_device: str, *, address: str, far_address: str
) -> list[list[str]]:
    """A veth pair between two namespaces (``here`` None: this process's own), both ends with address and up.

    Args:
      address: with its prefix length, as ``198.19.0.1/30``.
    """
    near = ["ip", *(["-n", here] if here else [])]
    far = ["ip", "-n", there]
    return [
        [*near, "link", "add", "name", device, "type", "veth", "peer", "name", far_device, "netns", there],
        [*near, "address", "add", address, "dev", device],
        [*far, "address", "add", far_address, "dev", far_device],
        [*near, "link", "set", "dev", device, "up"],
        [*far, "link", "set", "dev", far_device, "up"],
    ]


def missing_tool() -> str:
    """Which of the two commands is not installed, "" where both are."""
    return next((tool for tool in ("ip", "tc") if shutil.which(tool) is None), "")


def run(command: list[str], *, check: bool = True) -> str:
    """Standard output of one command.

    A terminal's Ctrl-C does not reach it: half of a clean-up is worse than a second of patience.

    Raises:
      BadInputError: the tool is missing. TertiumError: it failed; with its own words.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False, start_new_session=True
        )
    except FileNotFoundError:
        raise BadInputError(
            f"`{command[0]}` is not installed; install iproute2, or use --shaping relay, which needs no root either"
        ) from None
    except (subprocess.TimeoutExpired, OSError) as error:
        raise TertiumError(f"`{' '.join(command)}` could not be run: {type(error).__name__}") from None
    if check and done.returncode != 0:
        words = done.stderr.strip().splitlines() or ["no message"]
        raise TertiumError(f"`{' '.join(command)}` failed: {words[0]}")
    return done.stdout
