"""Every error a user of Tertium can meet.

    TertiumError                exit 4  a fault of ours
    ├── BadInputError           exit 2  something the user can mend
    │   ├── SettingsError               a config or plan file
    │   ├── RowsError                   a table, its schema, its alignment
    │   └── FixedPointError             a value the ring cannot hold
    │       └── RangeError              a value on shares that was proved to have left its interval
    ├── PeerError               exit 3  another process is absent, lost or misbehaves
    │   ├── CertificateError            a certificate, key or pin
    │   ├── WireError                   a message that is not what was agreed
    │   ├── StepError                   a message for another run, generation or step
    │   └── EnvelopeError               a sealed envelope replayed, altered or out of place
    └── PolicyError             exit 5  a party's own policy or budget says no

A message says what was found, what was wanted and what to do; never a value of a row, a seed or a key.
"""


class TertiumError(Exception):
    """Base of all errors; ``exit_code`` is what the command line returns."""

    exit_code = 4


class BadInputError(TertiumError):
    exit_code = 2


class SettingsError(BadInputError):
    pass


class RowsError(BadInputError):
    pass


class FixedPointError(BadInputError):
    pass


class RangeError(FixedPointError):
    pass


class PeerError(TertiumError):
    exit_code = 3


class CertificateError(PeerError):
    pass


class WireError(PeerError):
    pass


class StepError(PeerError):
    pass


class EnvelopeError(PeerError):
    pass


class PolicyError(TertiumError):
    exit_code = 5
