"""What another place's refusal means, in one line; whatever library it came from, and without credentials."""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from marina.errors import MarinaError

SILENT = re.compile(r"connect|timeout|timed ?out|gaierror|name or service", re.IGNORECASE)
MEANINGS = {  # by the names of exceptions, so that no library is imported for them
    "NoCredentialsError": "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "PartialCredentialsError": "a part of the credentials is missing: set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "NotImplementedError": "this kind of address cannot do that: use one that can be written to and listed",
}


def without_credentials(address: str) -> str:
    """An address as it may be shown: ``sftp://user:password@host`` without what stands before the ``@``."""
    return re.sub(r"//[^/]*@", "//", address)


@contextmanager
def in_one_line(address: str) -> Iterator[None]:
    """Turn whatever goes wrong with an address into one line about it.

    Raises:
        MarinaError: the line.
    """
    try:
        yield
    except MarinaError:
        raise
    except KeyboardInterrupt:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # would tell at the end of each connection that was open
        raise
    except Exception as error:  # each of fsspec's many libraries has exceptions of its own
        raise MarinaError(f"{without_credentials(address)}: {_meaning(error, address)}") from error


def _meaning(error: Exception, address: str) -> str:
    name, text = type(error).__name__, _text(error, address)
    if name in MEANINGS:
        return MEANINGS[name]
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space is left for {error.filename or 'it'}: free some, and run this again"
    if isinstance(error, PermissionError):
        return f"access denied ({text}): these credentials, or this user, may not do that"
    if SILENT.search(name) or (isinstance(error, OSError) and SILENT.search(text)):
        return f"does not answer ({text}): is the address right? For S3 elsewhere than AWS set AWS_ENDPOINT_URL"
    return f"{name}: {text}"


def _text(error: Exception, address: str) -> str:
    """The error's own words, in one line, without what stands before the ``@`` of the address."""
    text = " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())[:300]
    for secret in re.findall(r"//([^/]*)@", address):
        for part in (secret, *secret.split(":")):
            text = text.replace(part, "…") if part else text
    return text
