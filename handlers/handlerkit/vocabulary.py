"""Text as token ids, by the vocabulary that a network came with: a ``tokenizer.json`` that travels in the archive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from handlerkit.errors import UnprocessableInput
from handlerkit.options import check_whole

CHARACTERS = 40  # that are read for each token the network takes; English has about five
ENCODINGS = ("float", "base64")


@dataclass(frozen=True)
class EmbeddingOptions:
    """How a text becomes token ids, and how its embedding is answered.

    Attributes:
        length: the most tokens that the network takes, with those that the vocabulary adds; longer texts are cut, and the
            answer says so.
        multiple: a batch is padded to its longest text, rounded up to a multiple of this; where it is ``length``, always to
            that, which a network without free sizes needs.
        padding: the id it is padded with, which the network must leave out.
        vocabulary: name of the file in the archive.
        encoding: of an embedding where the request names none: ``float``, a list of numbers, or ``base64``, of float32.
    """

    length: int = 256
    multiple: int = 8
    padding: int = 0
    vocabulary: str = "tokenizer.json"
    encoding: str = "float"

    def __post_init__(self) -> None:
        """Refuse values that could only fail at the first request."""
        for name, least in (("length", 1), ("multiple", 1), ("padding", 0)):
            check_whole(name, getattr(self, name), least)
        if self.multiple > self.length:
            raise ValueError(f"multiple must be at most length, {self.length}, not {self.multiple}")
        if self.encoding not in ENCODINGS:
            raise ValueError(f"encoding must be one of {', '.join(ENCODINGS)}, not {self.encoding!r}")


@dataclass(frozen=True)
class Tokens:
    """A text as its tokens.

    Attributes:
        ids: of the text's own tokens, at least one.
        before: ids that the vocabulary puts before them.
        after: ids that it puts after them.
        words: the characters of the text that each of ``ids`` stands for.
        truncated: whether the text has more than that.
    """

    ids: list[int]
    before: list[int]
    after: list[int]
    words: list[str]
    truncated: bool

    @property
    def all(self) -> list[int]:
        """The ids that the network reads."""
        return [*self.before, *self.ids, *self.after]


class Vocabulary:
    """A vocabulary of the ``tokenizers`` library; its own settings of padding and cutting are not used.

    Attributes:
        largest: the largest id it has.
    """

    def __init__(self, path: Path, length: int) -> None:
        """Read the file; texts are cut to ``length`` tokens.

        Raises:
            ValueError: there is no such file, it is no vocabulary, or ``length`` leaves no room for a text.
        """
        self._tokenizer = _read(path)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = True  # a text that spells [PAD] is a text: no sender makes padding
        self.largest = max(self._tokenizer.get_vocab().values())
        self._length = length
        self._room = length - self._tokenizer.num_special_tokens_to_add(False)
        if self._room < 1:
            raise ValueError(f"length: {path.name} adds {length - self._room} tokens to a text; length must be above that")

    def tokens(self, text: str) -> Tokens:
        """The first tokens of a text; what comes long after them is not even looked at.

        Raises:
            UnprocessableInput: it has none, as a text of control characters alone.
        """
        read = text[: self._length * CHARACTERS]
        encoding = self._tokenizer.encode(read)
        own = [place for place, added in enumerate(encoding.special_tokens_mask) if not added]
        if not own:
            raise UnprocessableInput("The text has no characters that the model's vocabulary reads.")
        kept = slice(own[0], own[0] + min(len(own), self._room))
        return Tokens(
            ids=encoding.ids[kept],
            before=encoding.ids[: own[0]],
            after=encoding.ids[own[-1] + 1 :],
            words=[read[start:end] for start, end in encoding.offsets[kept]],
            truncated=len(own) > self._room or len(text) > len(read),
        )


def _read(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_buffer(path.read_bytes())
    except OSError as error:
        raise ValueError(f"vocabulary: the archive has no {path.name}: name it under 'files' in model.yaml") from error
    except Exception as error:  # the library raises its base class
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"vocabulary: {path.name} is none of the tokenizers library: {reason}") from error
