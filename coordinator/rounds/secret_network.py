"""The rounds of a split network without a neutral server: i = L, every layer on shares (SecureML; Mohassel & Zhang 2017, for n parties).

As split_nn.py, with nobody but the parties and the dealer. Their sealed envelopes are forwarded here, where nothing of them can be read.
"""

from coordinator.dealer import Dealer
from coordinator.roster import Roster
from coordinator.rounds.split_nn import SplitNnRounds
from coordinator.run_store import RunRecord
from coordinator.settings import CoordinatorSettings
from kernel.wire.relay import RelayDesk
from protos.v1 import common_pb2


class SecretNetworkRounds(SplitNnRounds):
    """One generation of one run; ``relay`` forwards its parties' envelopes."""

    def __init__(
        self, record: RunRecord, roster: Roster, dealer: Dealer, settings: CoordinatorSettings, relay: RelayDesk
    ) -> None:
        super().__init__(record, roster, None, dealer, settings, None)
        self._relay = relay

    def _release(self) -> None:
        super()._release()
        self._relay.drop_run(self._record.run)  # frames that came early for a party that refused would stay for good

    def _prepare_server(self) -> list[int] | None:
        self._relay.drop_run(self._record.run)  # the parties hear of the new generation after this
        return None

    def _begin_server(self, barrier: int, batch_sizes: list[int]) -> None:
        """Nobody to tell."""

    def _server_phases(self) -> dict[str, dict[str, float]]:
        return {}

    def _open_pass(self, epoch: int, purpose: common_pb2.Purpose, rows: int, *, frozen: bool = False) -> None:
        """Every party counts the steps itself."""
