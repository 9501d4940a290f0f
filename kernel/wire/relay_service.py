"""RPC of the sealed relay, at whichever role forwards: the neutral server, or the coordinator where a plan has none."""

import threading
from collections.abc import Iterator
from typing import Any

from kernel.errors import EnvelopeError, TertiumError
from kernel.wire.relay import RelayDesk
from kernel.wire.server import require
from kernel.wire.tensor_frame import TensorFrame, require_bare
from protos.v1 import relay_pb2, relay_pb2_grpc


class RelayService(relay_pb2_grpc.RelayServicer):
    def __init__(self, desk: RelayDesk) -> None:
        self._desk = desk

    def Exchange(self, request_iterator: Iterator[Any], context: Any) -> Iterator[TensorFrame[relay_pb2.RelayFrame]]:
        party = require(context, "party").name
        first = next(request_iterator, None)
        if first is None or first.message.WhichOneof("kind") != "open":
            raise EnvelopeError(f"the first frame of {party!r} must open a mailbox")
        require_bare(first, f"the open of {party!r}")
        mailbox = first.message.open.mailbox
        outbox = self._desk.open_mailbox(party, mailbox)
        context.add_callback(outbox.close)

        def read() -> None:
            try:
                for frame in request_iterator:
                    self._desk.forward(party, frame, source=mailbox)
            except TertiumError as error:
                outbox.fail(error)
            except Exception:
                if context.is_active():
                    raise
            finally:
                self._desk.close_mailbox(party, mailbox, outbox)
                outbox.close()

        threading.Thread(target=read, name=f"relay {party}", daemon=True).start()
        yield from outbox
