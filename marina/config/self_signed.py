"""A certificate that signs itself, with its key, in the form that TorchServe reads: RSA, PKCS#8, PEM."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from marina.errors import MarinaError, UsageError

ALWAYS = ("localhost", "127.0.0.1", "::1")
CLOCKS_DIFFER = timedelta(minutes=5)
BITS = 2048
HOST = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


def write_pair(certificate: Path, key: Path, names: Sequence[str], days: int, *, replace: bool = False) -> x509.Certificate:
    """Make a key and a certificate for localhost and further names; the key is for its owner alone.

    Args:
        certificate: where to write it.
        key: where to write it.
        names: hosts and IP addresses, besides localhost, 127.0.0.1 and ::1.
        days: that it is good for.
        replace: whether files that are there are overwritten.

    Raises:
        UsageError: a name is none.
        MarinaError: one of the files is there, or cannot be written; nothing is changed then.
    """
    alternatives = [_alternative(name) for name in dict.fromkeys((*ALWAYS, *names))]
    for path in (certificate, key):
        if path.exists() and not replace:
            raise MarinaError(f"{path} is there: give --force to replace it; whoever trusts the old one must be given the new")
    private = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    made = _signed(private, alternatives, days)
    _write(key, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    _write(certificate, made.public_bytes(Encoding.PEM), 0o644)
    return made


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        if HOST.fullmatch(name) is None:
            raise UsageError(f"--name must be a host or an IP address; found {name!r}") from None
        return x509.DNSName(name)


def _signed(private: rsa.RSAPrivateKey, alternatives: list[x509.GeneralName], days: int) -> x509.Certificate:
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Marina, self-signed")])
    public = private.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_usage(), critical=True)
        .sign(private, hashes.SHA256())
    )


def _usage() -> x509.KeyUsage:
    """For TLS, and to stand for its own authority."""
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        key_cert_sign=True,
        crl_sign=False,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Put a file in place in one step, so that a server never reads half of it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise MarinaError(f"{path} cannot be written: {error.strerror}") from error
