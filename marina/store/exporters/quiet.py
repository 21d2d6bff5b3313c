"""Surroundings for OpenVINO's converter and NNCF: without telemetry, and without a word."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def unobserved() -> Iterator[None]:
    """Keep both from reporting to their makers, and their bars and logs from our results and progress.

    They send how they are used unless the person has opted out, or they believe to be in CI: so they are told.
    """
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before
