"""Text as token ids: lower-cased words and punctuation, hashed, so that no vocabulary has to lie beside a network.

Pure Python, since training reads texts by it too: a training file beside a spec imports it as a handler
does, and both see the same ids.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from handlerkit.choice import Form, check_choice
from handlerkit.options import check_whole

TOKEN = re.compile(r"\w+|[^\w\s]")
PADDING = 0


@dataclass(frozen=True)
class TextOptions:
    """How a text becomes token ids, and how many classes are answered.

    Attributes:
        length: how many tokens the network takes; shorter texts are padded with id 0, longer ones are cut, and the answer
            says so.
        buckets: how many ids there are, padding among them: the rows of the network's embedding.
        top_k: how many classes an answer lists.
        threshold: least probability of a class that an answer lists.
        form: of an answer: ``marina``, or ``stock`` as TorchServe's own handlers have it, an object of probabilities by label.
    """

    length: int = 256
    buckets: int = 8192
    top_k: int = 5
    threshold: float = 0.0
    form: Form = "marina"

    def __post_init__(self) -> None:
        """Refuse values that could only fail at the first request."""
        for name, least in (("length", 1), ("buckets", 2)):
            check_whole(name, getattr(self, name), least)
        check_choice(self)


def split_tokens(text: str, most: int) -> list[str]:
    """The first ``most`` tokens of a text; what comes after them is not even looked at."""
    return [found.group().lower() for found in islice(TOKEN.finditer(text), most)]


def token_ids(tokens: Sequence[str], length: int, buckets: int) -> list[int]:
    """An id from 1 to below ``buckets`` for each of the first ``length`` tokens, the same everywhere; then padding."""
    ids = [1 + zlib.crc32(token.encode()) % (buckets - 1) for token in tokens[:length]]
    return ids + [PADDING] * (length - len(ids))
