"""TLS for callers: a certificate and its key by files, read anew when they are replaced."""

from __future__ import annotations

from pathlib import Path

from marina.errors import UsageError
from marina.gateway.messages import Message, extension, typed, watched
from marina.gateway.settings import Tls

PAIR = "certificate"


def transport_socket() -> Message:
    """How callers' connections are encrypted."""
    known = {
        "tls_certificate_sds_secret_configs": [{"name": PAIR, "sds_config": watched(PAIR)}],
        "alpn_protocols": ["h2", "http/1.1"],
    }
    kind = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    return extension("envoy.transport_sockets.tls", kind, common_tls_context=known)


def secret(tls: Tls, folder: Path) -> Message:
    """The certificate and its key, for Envoy.

    Args:
        tls: which files.
        folder: where their names begin.

    Raises:
        UsageError: a file is not there, or they are in different folders.
    """
    certificate, key = folder / tls.certificate, folder / tls.key
    for path in (certificate, key):
        if not path.is_file():
            raise UsageError(f"tls of the gateway: {path} is not there: scripts/make_certificate.py makes one")
    if certificate.parent != key.parent:
        raise UsageError(
            f"tls of the gateway: certificate and key must be in one folder; found {certificate.parent}, {key.parent}"
        )
    pair = {
        "certificate_chain": {"filename": str(certificate)},
        "private_key": {"filename": str(key)},
        "watched_directory": {"path": str(certificate.parent)},
    }
    return typed("envoy.extensions.transport_sockets.tls.v3.Secret", name=PAIR, tls_certificate=pair)
