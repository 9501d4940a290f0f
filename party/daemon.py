"""The party process: dials the coordinator and the neutral server, opens no port, obeys orders within its policy."""

import os
import queue
import secrets
import threading
import time
from typing import Any

import structlog

from kernel.errors import PeerError, StepError, TertiumError
from kernel.gan.spec import GAN_JOBS
from kernel.process import configure_logging, load_identity, stop_signal, transcript_recorder
from kernel.secret.plan import without_server
from kernel.version import VERSION
from kernel.wire.channel import RECONNECT_SECONDS, connects_within, dial
from kernel.wire.failures import failure_of
from kernel.wire.identity import Identity
from kernel.wire.meter import LinkMeter, MeteredChannel
from kernel.wire.stream import DuplexStream
from party.lobby import Lobby
from party.rows.builtin import default_data_directory
from party.run_session import RunSession
from party.session import PartySession
from party.settings import PartySettings
from protos.v1 import (
    coordination_pb2,
    coordination_pb2_grpc,
    dealing_pb2_grpc,
    gan_training_pb2_grpc,
    plan_pb2,
    relay_pb2_grpc,
    split_training_pb2_grpc,
)

_log = structlog.get_logger()
_RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0)

AttendStream = DuplexStream[coordination_pb2.PartyReport, coordination_pb2.PartyOrder]


def serve(settings: PartySettings) -> None:
    """Attend until SIGTERM; reconnect when the coordinator is away."""
    configure_logging(settings.name, as_json=settings.log_json)
    stop = stop_signal()
    if settings.data_directory is None:
        settings = settings.model_copy(update={"data_directory": default_data_directory(os.environ)})
    identity = load_identity(settings.tls, "party", settings.name)
    daemon = PartyDaemon(settings, identity)
    _log.info("party", fingerprint=identity.fingerprint, coordinator=settings.coordinator.address)
    daemon.attend_until(stop)
    _log.info("stopping")


class PartyDaemon:
    """Two threads: this one reads orders, a worker carries them out one after the other."""

    def __init__(self, settings: PartySettings, identity: Identity) -> None:
        self._settings, self._identity = settings, identity
        self._meter = LinkMeter()
        self._recorder = transcript_recorder(settings.transcript_directory, settings.name, settings.transcript_scope)
        coordinator, server = settings.coordinator, settings.neutral_server
        self._coordinator_channel = dial(coordinator.address, identity, coordinator.name)
        self._server_channel = dial(server.address, identity, server.name)
        to_coordinator = MeteredChannel(
            self._coordinator_channel, settings.name, coordinator.name, self._meter, self._recorder
        )
        to_server = MeteredChannel(self._server_channel, settings.name, server.name, self._meter, self._recorder)
        self._coordination = coordination_pb2_grpc.CoordinationStub(to_coordinator)
        self._stubs: dict[str, Any] = {
            "split_training": split_training_pb2_grpc.SplitTrainingStub(to_server),
            "gan_training": gan_training_pb2_grpc.GanTrainingStub(to_server),
            "relay": relay_pb2_grpc.RelayStub(to_server),
            "coordinator_relay": relay_pb2_grpc.RelayStub(to_coordinator),
            "dealing": dealing_pb2_grpc.DealingStub(to_coordinator),
        }
        # the lobby is outside every run: it is recorded, but no run's bytes
        to_lobby = MeteredChannel(self._server_channel, settings.name, server.name, LinkMeter(), self._recorder)
        self._lobby = Lobby(settings, identity, relay_pb2_grpc.RelayStub(to_lobby).Exchange)
        self._orders: queue.SimpleQueue[tuple[AttendStream, coordination_pb2.PartyOrder]] = queue.SimpleQueue()
        self._session: RunSession | None = None
        self._aborted: TertiumError | None = None

    def attend_until(self, stop: threading.Event) -> None:
        self._lobby.start()
        threading.Thread(target=self._work, name="orders", daemon=True).start()
        attempt = 0
        while not stop.is_set():
            stream: AttendStream = DuplexStream(self._coordination.Attend, "the coordinator")
            hello = coordination_pb2.Hello(
                name=self._settings.name, version=VERSION, unix_time_ms=time.time_ns() // 1_000_000
            )
            stream.send(coordination_pb2.PartyReport(hello=hello))
            try:
                while not stop.is_set():
                    order = stream.poll(0.5)
                    if order is not None:
                        attempt = 0
                        self._take(stream, order)
            except TertiumError as error:
                _log.warning("not attending", sentence=str(error))
                self._interrupt(PeerError(f"the coordinator is gone: {error}"))
                stop.wait(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
                attempt += 1
            finally:
                stream.close()
        self._interrupt(PeerError(f"{self._settings.name!r} is stopping"))
        self._lobby.stop()
        if self._session is not None:
            self._session.close()
        self._coordinator_channel.close()
        self._server_channel.close()

    def _take(self, stream: AttendStream, order: coordination_pb2.PartyOrder) -> None:
        kind = order.WhichOneof("kind")
        if kind == "welcome":
            _log.info("attending", coordinator_version=order.welcome.version)
        elif kind == "abort":
            self._interrupt(PeerError(order.abort.sentence or "the coordinator stopped the run"))
            self._orders.put((stream, order))  # after the order in progress: let go of the session
        else:
            self._aborted = None
            self._orders.put((stream, order))

    def _interrupt(self, error: TertiumError) -> None:
        self._aborted = error
        session = self._session
        if session is not None:
            session.interrupt(error)

    def _work(self) -> None:
        while True:
            stream, order = self._orders.get()
            if order.WhichOneof("kind") == "abort":
                if self._session is not None:
                    self._session.close()
                continue
            report = coordination_pb2.PartyReport(order=order.order, run=order.run, generation=order.generation)
            try:
                self._carry_out(stream, order, report)
            except TertiumError as error:
                _log.warning("order failed", order=order.WhichOneof("kind"), run=order.run, sentence=str(error))
                self._give_up(report, error)
            except Exception as error:
                incident = secrets.token_hex(4)
                _log.error("fault", order=order.WhichOneof("kind"), run=order.run, incident=incident, exc_info=error)
                self._give_up(report, TertiumError(f"fault {incident} at {self._settings.name!r}; its log says more"))
            stream.send(report)

    def _give_up(self, report: coordination_pb2.PartyReport, error: TertiumError) -> None:
        report.failed.CopyFrom(failure_of(error, run=report.run, origin=self._settings.name))
        if self._session is not None:
            self._session.close()

    def _carry_out(
        self, stream: AttendStream, order: coordination_pb2.PartyOrder, report: coordination_pb2.PartyReport
    ) -> None:
        kind = order.WhichOneof("kind")
        if kind == "prepare":
            if not without_server(order.prepare.plan):
                # it may have come up a moment ago, seen by the coordinator and not yet by us
                connects_within(self._server_channel, RECONNECT_SECONDS)
            report.prepared.CopyFrom(self._open(stream, order).prepare(order.prepare))
            return
        session = self._session
        if session is None or (session.run, session.generation) != (order.run, order.generation):
            raise StepError(
                f"{self._settings.name!r} is not in generation {order.generation} of run {order.run!r}; prepare it first"
            )
        answers = session.answers(order, report)
        if kind not in answers:
            raise StepError(f"unknown order {kind!r} in a run of this job; run one version everywhere")
        answers[kind]()

    def _open(self, stream: AttendStream, order: coordination_pb2.PartyOrder) -> RunSession:
        if self._session is not None:
            self._session.close()
        self._meter.take()

        def progress(message: coordination_pb2.Progress) -> None:
            stream.send(coordination_pb2.PartyReport(run=order.run, generation=order.generation, progress=message))

        self._session = _session_of(order.prepare.plan.job)(
            self._settings,
            self._identity,
            run=order.run,
            generation=order.generation,
            stubs=self._stubs,
            meter=self._meter,
            send_progress=progress,
            recorder=self._recorder,
        )
        if self._aborted is not None:  # it came after the order, before the session it is about
            raise self._aborted
        return self._session


def _session_of(job: plan_pb2.JobKind) -> type[RunSession]:
    """The sessions that carry out a job's plans; which jobs this party accepts is its policy's to say."""
    if job in GAN_JOBS:
        from party.gan.session import GanSession

        return GanSession
    return PartySession
