"""TLS: keys and certificates that TorchServe can read, that belong together, and that are good today."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

from marina.config.addresses import listeners
from marina.config.findings import Found, error, note, warning
from marina.config.place import Place
from marina.config.settings import Settings

Value = TypeVar("Value")
Maybe = Generator[Found, None, Value | None]  # findings on the way to a value
SOON = timedelta(days=30)
MAKE = "scripts/make_certificate.py makes one"
PKCS1 = b"-----BEGIN RSA PRIVATE KEY-----"


def encryption_has_keys(settings: Settings, _: Place) -> Iterator[Found]:
    """Addresses with https, and nothing to encrypt with; TorchServe's own self-signing fails on current Java."""
    pair = [key for key in ("private_key_file", "certificate_file") if key in settings.given]
    encrypted = [one.key for one in listeners(settings) if one.is_encrypted]
    rest = [key for key in encrypted if not key.startswith("grpc")]
    if rest and "keystore" not in settings.given and len(pair) < 2:
        yield error(rest[0], f"https needs private_key_file and certificate_file, or keystore: {MAKE}")
    if len(encrypted) > len(rest) and len(pair) < 2:
        yield error("enable_grpc_ssl", f"needs private_key_file and certificate_file, and takes no keystore: {MAKE}")
    if pair and "keystore" in settings.given and rest:
        yield warning(pair[0], "does not count for https, since keystore is given: delete one of them")
    if (pair or "keystore" in settings.given) and not encrypted:
        yield warning([*pair, "keystore"][0], "is not used: no address begins with https://")


def keys_are_good(settings: Settings, place: Place) -> Iterator[Found]:
    """The files themselves, where they are there."""
    if "keystore" in settings.given:
        yield from _keystore(settings, place)
        return
    if not {"private_key_file", "certificate_file"} <= settings.given.keys():
        return
    certificate = yield from _certificate(settings, place)
    key = yield from _key(settings, place)
    if certificate is not None and key is not None:
        yield from _dates(certificate, "certificate_file", place)
        if certificate.public_key() != key.public_key():
            yield error("certificate_file", "is not of the key in private_key_file: every connection would fail; give the pair")


def _certificate(settings: Settings, place: Place) -> Maybe[x509.Certificate]:
    content = yield from _content(settings, "certificate_file", place)
    if content is None:
        return None
    try:
        return x509.load_pem_x509_certificates(content)[0]
    except ValueError:
        form = "DER" if content[:1] == b"\x30" else "something else"
        yield error("certificate_file", f"must be PEM, -----BEGIN CERTIFICATE-----; found {form}")
        return None


def _key(settings: Settings, place: Place) -> Maybe[rsa.RSAPrivateKey]:
    content = yield from _content(settings, "private_key_file", place)
    if content is None:
        return None
    try:
        key = load_pem_private_key(content, None)
    except TypeError:
        yield error(
            "private_key_file", "is encrypted, and TorchServe has no place for its password: openssl pkey -in FILE -out FILE2"
        )
        return None
    except ValueError:
        yield error("private_key_file", "must be a key in PEM, -----BEGIN PRIVATE KEY-----; found something else")
        return None
    yield from _kind(key, "private_key_file")
    if settings.says_yes("enable_grpc_ssl") and content.lstrip().startswith(PKCS1):
        yield error("private_key_file", "is PKCS#1, which gRPC cannot read: openssl pkcs8 -topk8 -nocrypt -in FILE -out FILE2")
    path = place.path(settings.value("private_key_file"))
    if path.stat().st_mode & 0o077:
        yield warning("private_key_file", f"can be read by others: chmod 600 {settings.value('private_key_file')}")
    return key if isinstance(key, rsa.RSAPrivateKey) else None


def _kind(key: PrivateKeyTypes, name: str) -> Iterator[Found]:
    if not isinstance(key, rsa.RSAPrivateKey):
        kind = type(key).__name__.removesuffix("PrivateKey").strip("_")
        yield error(name, f"must be an RSA key, the only one that TorchServe's ciphers take; found {kind}: {MAKE}")
    elif key.key_size < 2048:
        yield warning(name, f"has {key.key_size} bits, which clients refuse: {MAKE}, with 2048 or more")


def _keystore(settings: Settings, place: Place) -> Iterator[Found]:
    content = yield from _content(settings, "keystore", place)
    if settings.value("keystore_pass") == "changeit":
        yield warning("keystore_pass", "is the one that everybody knows, changeit: take another")
    if content is None or settings.value("keystore_type").upper() != "PKCS12":
        return
    try:
        key, certificate, _ = pkcs12.load_key_and_certificates(content, settings.value("keystore_pass").encode())
    except ValueError:
        yield error("keystore_pass", "does not open the keystore, or that is no PKCS#12 file")
        return
    if key is None or certificate is None:
        yield error("keystore", "must hold a key with its certificate; found none")
        return
    yield from _kind(key, "keystore")
    yield from _dates(certificate, "keystore", place)


def _dates(certificate: x509.Certificate, name: str, place: Place) -> Iterator[Found]:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if ends < place.now:
        yield error(name, f"the certificate ended on {ends:%Y-%m-%d}: {MAKE}, with --force")
    elif begins > place.now:
        yield error(name, f"the certificate begins on {begins:%Y-%m-%d}: see the machine's clock, or make another")
    elif ends < place.now + SOON:
        yield warning(name, f"the certificate ends on {ends:%Y-%m-%d}: make the next")


def _content(settings: Settings, key: str, place: Place) -> Maybe[bytes]:
    path: Path = place.path(settings.value(key))
    try:
        return path.read_bytes()
    except FileNotFoundError:
        yield note(key, f"{settings.value(key)} is not there yet, and TorchServe does not start without it: {MAKE}")
    except OSError as failure:
        yield error(key, f"{settings.value(key)} cannot be read: {failure.strerror}")
    return None
