"""The version every process states at its handshake."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("tertium")
except PackageNotFoundError:  # a source tree that is not installed
    VERSION = "0+source"
