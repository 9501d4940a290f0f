"""The neutral server process."""

import gc
import os
import threading
from contextlib import suppress

import structlog

from kernel.errors import BadInputError
from kernel.network import NetworkSpec
from kernel.process import configure_logging, load_identity, stop_signal, transcript_recorder
from kernel.processor import cores
from kernel.wire.relay import RelayDesk
from kernel.wire.relay_service import RelayService
from kernel.wire.server import Listener
from neutral_server.runs import RunTable
from neutral_server.service import GanTrainingService, SplitTrainingService, StackControlService
from neutral_server.session import Stack
from neutral_server.settings import NeutralServerSettings
from protos.v1 import gan_training_pb2_grpc, relay_pb2_grpc, split_training_pb2_grpc, stack_control_pb2_grpc

_log = structlog.get_logger()
_SMALL_UNITS = 48
"""Units of all hidden layers up to which numpy is faster than a call into TensorFlow (small_stack.py).

Milliseconds forward and backward, in turns, numpy and XLA: [32, 16] 0.34 and 0.85 at 500 rows, 3.0 and 3.6 at 5000; [48, 32]
0.46 and 0.88, 3.4 and 3.2.
"""


def serve(settings: NeutralServerSettings) -> None:
    """Listen until SIGTERM."""
    configure_logging(settings.name, as_json=settings.log_json)
    stop = stop_signal()
    identity = load_identity(settings.tls, "neutral-server", settings.name)
    recorder = transcript_recorder(settings.transcript_directory, settings.name, settings.transcript_scope)
    runs = _run_table(settings)
    desk = RelayDesk(runs.members)
    listener = Listener(
        settings.listen,
        identity,
        (
            (split_training_pb2_grpc.add_SplitTrainingServicer_to_server, SplitTrainingService(runs)),
            (gan_training_pb2_grpc.add_GanTrainingServicer_to_server, GanTrainingService(runs)),
            (relay_pb2_grpc.add_RelayServicer_to_server, RelayService(desk)),
            (
                stack_control_pb2_grpc.add_StackControlServicer_to_server,
                StackControlService(settings.name, runs, desk),
            ),
        ),
        recorder,
    )
    listener.start()
    _log.info("listening", address=settings.listen, fingerprint=identity.fingerprint)
    if settings.hidden_stack == "tensorflow":  # ahead of the first run: the import takes seconds
        threading.Thread(
            target=_import_tensorflow, args=(_stack_threads(settings),), name="import tensorflow", daemon=True
        ).start()
    stop.wait()
    _log.info("stopping")
    desk.close()
    runs.stop()
    listener.stop()
    gc.freeze()  # collecting TensorFlow's objects one last time would take the process seconds


def _run_table(settings: NeutralServerSettings) -> RunTable:
    return RunTable(
        settings.name,
        settings.state_directory,
        lambda spec: _make_stack(spec, settings),
        lambda what: _require_tensorflow(what, settings.tensorflow_threads or cores()),
        settings.wait_seconds,
    )


def _import_tensorflow(threads: int) -> None:
    """Import it (seconds, the first time) and say how many threads an operation has; where it has computed already, nothing changes."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    with suppress(RuntimeError):  # its threads are those of the process, and are started once
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def _stack_threads(settings: NeutralServerSettings) -> int:
    """Half the cores, unless told otherwise.

    An operation of a small stack on two threads takes longer than on one, and gRPC needs a core to itself: measured on 2
    cores, forward and backward of [8, 8] at 5000 rows, 2.0 ms with TensorFlow's own choice and 1.3 ms with one thread. A
    shared discriminator has all cores: nothing comes or goes while it computes (epoch of the paper's nets 12.7 s against 13.3).
    """
    return settings.tensorflow_threads or max(1, cores() // 2)


def _make_stack(spec: NetworkSpec, settings: NeutralServerSettings) -> Stack:
    kind = settings.hidden_stack
    if kind == "numpy" or (kind == "auto" and sum(spec.widths) <= _SMALL_UNITS):
        from neutral_server.small_stack import SmallStack

        return SmallStack(spec)
    _require_tensorflow(f"a stack of {sum(spec.widths)} units", _stack_threads(settings))
    from neutral_server.hidden_stack import HiddenStack

    return HiddenStack(spec)


def _require_tensorflow(what: str, threads: int) -> None:
    """Import it; where it is not installed BadInputError says how to mend that."""
    try:
        _import_tensorflow(threads)
    except ModuleNotFoundError:
        raise BadInputError(
            f"{what} needs TensorFlow at the neutral server, where it is not installed; "
            'there: pip install "tertium[neutral-server]"'
        ) from None
