"""Whether a handler answers each row of a batch as if it had come alone, whatever the others are."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from handlerkit.testing.alike import alike
from handlerkit.testing.findings import Findings, line, shown
from handlerkit.testing.hostile import hostile_rows
from handlerkit.testing.replies import Answer
from handlerkit.testing.workers import DESCRIBE, EXPLAIN, PREDICT, Content, Worker

BATCH = 8
PLACE = 3  # of the bad row among eight
MIXTURES = 10  # of good rows, and as many of good and bad ones
HOSTILE = 63  # seven in each batch, with one good row
KINDS = {"predict": PREDICT, "explain": EXPLAIN}

Same = Callable[[Any, Any], bool]
Check = Literal["explain", "describe", "hostile", "version"]


class RowsFailedError(AssertionError):
    """A handler does not answer each row as if it had come alone; the message says what was asked and what came."""


@dataclass(frozen=True)
class Asked:
    """A row, what it asks for, and what it is answered when it comes alone."""

    name: str
    row: Content
    kind: str
    alone: Answer

    def __str__(self) -> str:
        return f"{self.name}, {self.kind}"


def check_rows(
    worker: Worker,
    good: Content | Sequence[Content],
    bad: Sequence[Content] = (),
    without: Collection[Check] = (),
    same: Same = alike,
) -> None:
    """Ask a handler what makes handlers fail, and say what failed.

    - Good rows are answered with 200, the same twice; bad ones are refused with a 4xx.
    - One bad row among eight costs nobody else, and a batch of bad rows alone is refused row by row.
    - In random mixtures of predictions and explanations, good and bad, each row is answered as if it had come alone, in
      its place. A describe request is asked alone: TorchServe never puts one into a batch with others.
    - Hostile rows never get a 5xx: random bytes, truncated copies, deep JSON, nothing, huge numbers.
    - Every answer names in X-Model-Version the version that gave it.

    Args:
        worker: that has loaded the handler.
        good: a row that is answered, or several; that order is kept shows best in rows with different answers.
        bad: rows that must be refused.
        without: what the handler need not do: ``explain``, ``describe``, ``hostile``, ``version``.
        same: whether two answers' bodies say the same, where ``alike`` is too strict, as on random ones.

    Raises:
        RowsFailedError: with all findings, and what to do.
    """
    goods: Sequence[Content] = [good] if isinstance(good, (bytes, bytearray, str, Mapping)) else good
    kinds = ["predict"] if "explain" in without else ["predict", "explain"]
    check = _Check(worker, same)
    answered = [check.ask_alone(f"good[{index}]", row, kind) for kind in kinds for index, row in enumerate(goods)]
    refused = [check.ask_alone(f"bad[{index}]", row, kind) for kind in kinds for index, row in enumerate(bad)]
    check.alone(answered, refused)
    if all(one.alone.status == 200 for one in answered if one.kind == "predict"):
        check.batches([one for one in answered if one.kind == "predict"], refused)
        check.mixtures(answered)
        check.mixtures(answered + refused)
        if "hostile" not in without:
            check.hostile([one for one in answered if one.kind == "predict"])
    if "describe" not in without:
        check.describe()
    check.report(with_version="version" not in without)


class _Check:
    """Asks a worker, and collects what is wrong."""

    def __init__(self, worker: Worker, same: Same) -> None:
        self._worker, self._same = worker, same
        self._findings = Findings()
        self._unversioned: str | None = None

    def ask_alone(self, name: str, row: Content, kind: str) -> Asked:
        return Asked(name, row, kind, self._ask([(f"{name}, {kind}", row, KINDS[kind])])[0])

    def alone(self, good: list[Asked], bad: list[Asked]) -> None:
        for one in good:
            self._expect_answered(one)
        for one in bad:
            if not 400 <= one.alone.status < 500:
                self._findings.add("alone", f"{one}: answered {shown(one.alone)}; a bad row must get a 4xx, alone or not")

    def batches(self, good: list[Asked], bad: list[Asked]) -> None:
        """Each bad row among seven good ones; then good ones and bad ones by themselves."""
        for one in bad:
            neighbours = _cycled(good, BATCH - 1)
            self._expect_as_alone([*neighbours[:PLACE], one, *neighbours[PLACE:]])
        for some in (good, bad):
            if some:
                self._expect_as_alone(_cycled(some, BATCH))

    def mixtures(self, asked: list[Asked]) -> None:
        chance = random.Random(0)  # noqa: S311 - nothing secret
        for _ in range(MIXTURES):
            self._expect_as_alone(chance.choices(asked, k=chance.randint(2, BATCH)))

    def hostile(self, good: list[Asked]) -> None:
        """Hostile rows in batches with a good one."""
        share = -(-HOSTILE // len(good))
        made = [row for seed, one in enumerate(good) for row in hostile_rows(_parts(one.row), share, seed)]
        for number, start in enumerate(range(0, len(made), BATCH - 1)):
            self._expect_no_fault(made[start : start + BATCH - 1], good[number % len(good)])

    def describe(self) -> None:
        (answer,) = self._ask([("describe", {}, DESCRIBE)])
        if answer.status != 200:
            advice = "a handler without a description is checked without=['describe']"
            self._findings.add("alone", f"describe (?customized=true): answered {shown(answer)}; {advice}")

    def report(self, with_version: bool) -> None:
        if with_version and self._unversioned:
            text = f"{self._unversioned}: answered without the header X-Model-Version; no caller knows which version it was"
            self._findings.add("version", text)
        if text := str(self._findings):
            raise RowsFailedError(f"the handler does not answer each row as if it had come alone\n{text}")

    def _expect_answered(self, one: Asked) -> None:
        if one.kind == "predict" and one.alone.status != 200:
            self._findings.add("alone", f"{one}: answered {shown(one.alone)}; a good row must get 200")
        elif one.alone.status >= 500:
            advice = "a handler without explanations refuses them with a 4xx, or is checked without=['explain']"
            self._findings.add("alone", f"{one}: answered {shown(one.alone)}; {advice}")
        elif not self._same(one.alone.body, self._ask([(str(one), one.row, KINDS[one.kind])])[0].body):
            self._findings.add("alone", f"{one}: two answers to one request; where they may differ, give same=")

    def _expect_as_alone(self, batch: list[Asked]) -> None:
        answers = self._ask([(str(one), one.row, KINDS[one.kind]) for one in batch])
        if answers[0].failure:
            self._blame(batch, answers[0])
            return
        for index, (one, answer) in enumerate(zip(batch, answers, strict=True)):
            if one.alone.failure or (answer.status == one.alone.status and self._same(one.alone.body, answer.body)):
                continue
            why = self._reason(index, answer, batch)
            text = f"row {index} of {len(batch)} ({one}): answered {shown(answer)}; alone it gets {shown(one.alone)}{why}"
            self._findings.add("batches", text, key=f"{one.kind} {why}")

    def _expect_no_fault(self, hostile: Sequence[tuple[str, Content]], good: Asked) -> None:
        rows = [(name, row, PREDICT) for name, row in hostile]
        answers = self._ask([*rows, (str(good), good.row, PREDICT)])
        if answers[0].failure:  # whose fault it is shows when each comes alone
            answers = [self._ask([row])[0] for row in rows] + [good.alone]
        for (name, _, _), answer in zip(rows, answers, strict=False):
            if answer.status >= 500:
                key = (answer.failure or str(answer.body)).partition(":")[0]
                self._findings.add("hostile rows", f"{name}: answered {shown(answer)}", key)
        if answers[-1].status != 200 or not self._same(good.alone.body, answers[-1].body):
            text = f"{good}, beside hostile rows: answered {shown(answers[-1])}; alone it gets {shown(good.alone)}"
            self._findings.add("hostile rows", text)

    def _blame(self, batch: list[Asked], answer: Answer) -> None:
        """Note that a whole batch failed, and through which of its rows."""
        failure = line(answer.failure or "")
        said = f"all {len(batch)} rows were answered {answer.status} '{answer.body['message']}'"
        culprit = next((index for index, one in enumerate(batch) if one.alone.failure), None)
        if culprit is None:
            named = "; ".join(map(str, batch))
            self._findings.add("batches", f"{said}: {failure}; no row does that alone, the batch was: {named}", key=failure)
        else:
            text = f"{said} because of row {culprit} ({batch[culprit]}), on which handle failed: {failure}"
            self._findings.add("batches", text, key=batch[culprit].name)

    def _reason(self, index: int, answer: Answer, batch: list[Asked]) -> str:
        """Why an answer may not be the row's own."""
        if batch[0].kind != batch[index].kind:
            return f"; row 0 asks to {batch[0].kind}, which is no matter of the others"
        others = [number for number, one in enumerate(batch) if number != index and self._same(one.alone.body, answer.body)]
        return f"; that is the answer to row {others[0]}" if others else ""

    def _ask(self, rows: Sequence[tuple[str, Content, dict[str, str]]]) -> list[Answer]:
        try:
            answers = self._worker.ask(*(row for _, row, _ in rows), headers=[header for _, _, header in rows])
        except SystemExit as error:
            raise RowsFailedError(f"the handler ended its worker on: {'; '.join(name for name, _, _ in rows)}") from error
        for (name, _, _), answer in zip(rows, answers, strict=True):
            if not answer.failure and "x-model-version" not in map(str.lower, answer.headers):
                self._unversioned = self._unversioned or name
        return answers


def _parts(row: Content) -> dict[str, Any]:
    return {"body": row} if isinstance(row, (bytes, bytearray, str)) else dict(row)


def _cycled(rows: list[Asked], count: int) -> list[Asked]:
    return list(itertools.islice(itertools.cycle(rows), count))
