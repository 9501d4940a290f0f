"""What every daemon does at its edge: read its settings and keys, log, and stop on SIGTERM."""

import logging
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, Any, TypeVar

import structlog
from pydantic import AfterValidator, BaseModel, ValidationInfo

from kernel.errors import CertificateError, SettingsError
from kernel.settings import Settings, parse_settings
from kernel.wire.identity import Identity, Role
from kernel.wire.meter import Recorder
from kernel.wire.transcripts import TranscriptScope, TranscriptWriter

Model = TypeVar("Model", bound=BaseModel)


def _beside_config(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base")
    return path if base is None else Path(base) / path


ConfigPath = Annotated[Path, AfterValidator(_beside_config)]
"""A path in a config file; a relative one is taken from the file's own directory."""


class TlsSettings(Settings):
    """PEM files of mutual TLS; `tertium certs init` makes all three."""

    certificate: ConfigPath
    key: ConfigPath
    authority: ConfigPath


def load_settings(model: type[Model], path: Path) -> Model:
    """The config or plan file at ``path``.

    Raises:
      SettingsError: not there, not TOML, or not what the model wants.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from error
    return parse_settings(model, text, str(path), base=path.parent)


def load_identity(tls: TlsSettings, role: Role, name: str | None = None) -> Identity:
    """The identity in the three files, held to the role and name the config claims.

    Raises:
      CertificateError: a file is missing, wrong, expired, or of another role or name.
    """
    contents = []
    for label, path in (("certificate", tls.certificate), ("key", tls.key), ("authority", tls.authority)):
        try:
            contents.append(path.read_bytes())
        except OSError as error:
            raise CertificateError(
                f"cannot read tls.{label} at {path}: {error.strerror}; make it with `tertium certs init`"
            ) from error
    identity = Identity.from_pem(*contents)
    if identity.peer.role != role or (name is not None and identity.name != name):
        raise CertificateError(
            f"the certificate is for {identity.peer.role} {identity.name!r}, this config is for {role} {name or 'any'!r}; "
            "point tls.certificate at the right file"
        )
    return identity


def transcript_recorder(directory: Path | None, name: str, scope: TranscriptScope = "all") -> Recorder | None:
    """An evaluator's recorder, where the config asks for one."""
    if directory is None:
        return None
    return TranscriptWriter(directory / f"{name}.transcript", name if scope == "training" else None)


class _StandardError:
    """Whatever standard error is when a line is written: loggers are kept, and outlive a redirected stream."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure_logging(name: str, *, as_json: bool) -> None:
    """Structured lines on standard error: run, step, bytes, seconds, loss; nothing of a row."""
    renderer: Any = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(_StandardError()),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=name)


def stop_signal() -> threading.Event:
    """Set by SIGTERM or SIGINT; call it from the main thread.

    A handler runs between any two steps of the main thread, and that may be inside the event's own lock, which it would
    then wait for without end: it only leaves word (SimpleQueue.put is made for that), and another thread sets the event.
    """
    event, asked = threading.Event(), queue.SimpleQueue[int]()

    def pass_on() -> None:
        asked.get()
        event.set()

    threading.Thread(target=pass_on, name="stop signal", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: asked.put(received))
    return event
