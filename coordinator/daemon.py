"""The coordinator process: control plane, dealer, run directories."""

import structlog

from coordinator.clients import StackClient
from coordinator.dealer import Dealer, DealingService
from coordinator.roster import Roster
from coordinator.run_store import RunStore
from coordinator.runner import Runner
from coordinator.service import CoordinationService, OperationService
from coordinator.settings import CoordinatorSettings
from kernel.process import configure_logging, load_identity, stop_signal, transcript_recorder
from kernel.wire.relay_service import RelayService
from kernel.wire.server import Listener
from protos.v1 import coordination_pb2_grpc, dealing_pb2_grpc, operation_pb2_grpc, relay_pb2_grpc

_log = structlog.get_logger()


def serve(settings: CoordinatorSettings) -> None:
    """Listen until SIGTERM."""
    configure_logging(settings.name, as_json=settings.log_json)
    stop = stop_signal()
    identity = load_identity(settings.tls, "coordinator", settings.name)
    store, roster, dealer = RunStore(settings.runs_directory), Roster(), Dealer()
    recorder = transcript_recorder(settings.transcript_directory, settings.name)
    stack = StackClient(settings.neutral_server, identity, recorder)
    runner = Runner(store, roster, stack, dealer, settings)
    listener = Listener(
        settings.listen,
        identity,
        (
            (coordination_pb2_grpc.add_CoordinationServicer_to_server, CoordinationService(roster)),
            (dealing_pb2_grpc.add_DealingServicer_to_server, DealingService(settings.name, dealer)),
            (relay_pb2_grpc.add_RelayServicer_to_server, RelayService(runner.relay)),
            (
                operation_pb2_grpc.add_OperationServicer_to_server,
                OperationService(settings.name, runner, store, roster, stack),
            ),
        ),
        recorder,
    )
    listener.start()
    _log.info("listening", address=settings.listen, fingerprint=identity.fingerprint)
    stop.wait()
    _log.info("stopping")
    if runner.active_run():
        runner.cancel(runner.active_run())
    runner.relay.close()
    roster.close()
    listener.stop()
    stack.close()
