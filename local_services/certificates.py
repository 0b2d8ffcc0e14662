"""Create a self-signed certificate for 127.0.0.1, for local servers with TLS."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Tls(NamedTuple):
    """``pem`` has the key and the certificate for the server, ``bundle`` the certificate for a client to trust."""

    pem: Path
    bundle: Path

    @property
    def context(self) -> ssl.SSLContext:
        """The TLS context of the server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pem)
        return context


def self_signed(folder: Path, *, days: float = 0.0) -> Tls:
    """Create a certificate in a folder, valid for one day before and after the time ``days`` from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "emulator")])
    now = datetime.now(timezone.utc) + timedelta(days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, bundle = folder / "server.pem", folder / "ca.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem.write_bytes(private + bundle.read_bytes())
    return Tls(pem, bundle)
