"""Images inside a page."""

import base64


def data_uri(image: bytes) -> str:
    """A PNG as an address that needs no file."""
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")
