"""Names of classes, in either form that TorchServe's ``index_to_name.json`` has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from handlerkit.errors import BadRequest, shown

LONGEST_INDEX = 9  # digits; Python refuses to read thousands of them


@dataclass(frozen=True)
class Labels:
    """The classes of a model by index: a name each, or an id (as WordNet's ``n01440764``) and a name.

    Names may stand twice, as ``crane`` does in ImageNet: an answer carries the index too.
    """

    entries: Sequence[str | Sequence[str]]

    def name(self, index: int) -> str:
        """Name of a class; its index where the archive has no names."""
        if not self.entries:
            return str(index)
        entry = self.entries[index]
        return entry if isinstance(entry, str) else entry[1]

    def answer(self, index: int, probability: float) -> dict[str, Any]:
        """What is answered of a class."""
        answer = {"label": self.name(index), "probability": round(probability, 6), "index": index}
        entry = self.entries[index] if self.entries else ""
        return answer if isinstance(entry, str) else answer | {"class_id": entry[0], "class_name": entry[1]}

    def index(self, wanted: Any, classes: int) -> int:
        """Index of the class that a request names, by its label, its id or its index.

        Raises:
            BadRequest: there is no such class, or the label stands for several.
        """
        text = shown(wanted) if isinstance(wanted, (list, dict)) else str(wanted)
        found = [index for index in range(len(self.entries)) if text == self.name(index)]
        found += [index for index, entry in enumerate(self.entries) if not isinstance(entry, str) and entry[0] == text]
        if len(set(found)) > 1:
            raise BadRequest(f"Several classes are named '{text[:40]}'; give one by its index: {sorted(set(found))}.")
        if found:
            return found[0]
        if text.isdecimal() and len(text) <= LONGEST_INDEX and int(text) < classes:
            return int(text)
        some = ", ".join(self.name(index) for index in range(min(10, len(self.entries))))
        raise BadRequest(f"No class is named '{text[:40]}'; the first classes are: {some or f'0 to {classes - 1}'}.")


def names_inside(network: Any) -> list[str]:
    """Names of the classes that a network carries itself, as ``class_names`` or ``classes``; empty where it has none."""
    for attribute in ("class_names", "classes"):
        names = getattr(network, attribute, None)
        if isinstance(names, (list, tuple)) and names and all(isinstance(name, str) for name in names):
            return list(names)
    return []
