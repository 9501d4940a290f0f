"""`tertium certs …`."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Certificates for a federation: an authority, and one certificate per role and name.",
    no_args_is_help=True,
)


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="where the authority and certificates go")],
    name: Annotated[list[str] | None, typer.Option(help="a party's name; repeat for each party")] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="how long new certificates are valid")] = 825,
) -> None:
    """Make an authority (kept if there is one) and certificates for coordinator, neutral server, operator and parties."""
    from coordinator.certificate_authority import AUTHORITY_CERTIFICATE, CertificateAuthority, write_issued
    from kernel.errors import SettingsError
    from kernel.wire.identity import Peer

    if (directory / AUTHORITY_CERTIFICATE).exists():
        authority = CertificateAuthority.load(directory)
    else:
        authority = CertificateAuthority.create()
        authority.save(directory)
        typer.echo(f"authority: {directory / AUTHORITY_CERTIFICATE} (keep authority.key away from every other machine)")
    reserved = [
        Peer("coordinator", "coordinator"),
        Peer("neutral-server", "neutral-server"),
        Peer("operator", "operator"),
    ]
    if any(party in {peer.name for peer in reserved} for party in name or ()):
        raise SettingsError("a party cannot be called coordinator, neutral-server or operator; choose another name")
    for peer in [*reserved, *(Peer("party", party) for party in name or ())]:
        if (directory / f"{peer.name}.pem").exists():
            typer.echo(f"kept:      {directory / peer.name}.pem")
            continue
        issued = authority.issue(peer, days=days)
        write_issued(directory, peer.name, issued)
        typer.echo(f"issued:    {directory / peer.name}.pem  {peer.role}  {issued.fingerprint}")


@app.command()
def show(certificate: Annotated[list[Path], typer.Argument(help="certificate file(s)")]) -> None:
    """Role, name, dates and fingerprint of certificates (what a peer pins in policy.peers)."""
    from kernel.errors import CertificateError
    from kernel.wire.identity import fingerprint, load_certificate, peer_in

    for file in certificate:
        try:
            found = load_certificate(file.read_bytes(), str(file))
        except OSError as error:
            raise CertificateError(f"cannot read {file}: {error.strerror}") from error
        peer = peer_in(found)
        typer.echo(f"{peer.role} {peer.name}  until {found.not_valid_after_utc:%Y-%m-%d}  {fingerprint(found)}")
