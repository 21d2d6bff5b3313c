"""What a check has found, told so that a handler's author can act on it."""

from __future__ import annotations

import re

from handlerkit.testing.replies import Answer

MOST = 3  # of one topic
LONGEST = 160

ADVICE = {
    "alone": "refuse a row by context.set_response_status(422, phrase, idx) and a text in its place; what handle raises is a 503",
    "batches": "decide row by row, by context.get_request_header(idx, …) and in the order of the rows; raise for none",
    "hostile rows": "refuse with a 4xx whatever cannot be read: nothing, other types, other shapes, cut-off files",
    "version": "context.set_response_header(idx, 'X-Model-Version', context.manifest['model']['modelVersion']), also on refusals",
}


class Findings:
    """Findings by topic, a key of ADVICE; of those that have one key, the first."""

    def __init__(self) -> None:
        self._texts: dict[str, dict[str, str]] = {topic: {} for topic in ADVICE}

    def add(self, topic: str, text: str, key: str | None = None) -> None:
        """Note a finding."""
        self._texts[topic].setdefault(key or text, text)

    def __str__(self) -> str:
        """All of them, with what to do; nothing where there are none."""
        return "\n".join(line for topic, texts in self._texts.items() if texts for line in _lines(topic, list(texts.values())))


def shown(answer: Answer) -> str:
    """An answer in one short line; of one that failed with its batch, why."""
    if answer.failure:
        return f"{answer.status}, since handle failed: {line(answer.failure)}"
    return f"{answer.status} {line(str(answer.body))!r}"


def line(text: str) -> str:
    """A text in one short line, without addresses of memory, which are others each time."""
    joined = " ".join(re.sub(r" at 0x[0-9a-f]+", "", text).split())
    return joined if len(joined) <= LONGEST else f"{joined[:LONGEST]}…"


def _lines(topic: str, texts: list[str]) -> list[str]:
    more = [f"    - and {len(texts) - MOST} more"] if len(texts) > MOST else []
    return [f"  {topic}", *(f"    - {text}" for text in texts[:MOST]), *more, f"    => {ADVICE[topic]}"]
