"""Options that change a plan before it is submitted; the run directory keeps the changed plan."""

from kernel.errors import SettingsError
from kernel.settings import parse_toml


def with_protocol(plan_text: str, protocol: str | None, what: str) -> str:
    """The plan with another first-layer protocol and its default ring; the text itself where nothing is asked."""
    if protocol is None:
        return plan_text
    import tomli_w

    document = parse_toml(plan_text, what)
    if document.get("job", "split_nn") != "split_nn":
        raise SettingsError(f"--protocol is of the first layer of job split_nn, and {what} is of job {document['job']}")
    document["first_layer"] = {"protocol": protocol}
    return tomli_w.dumps(document)
