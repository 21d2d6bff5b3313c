"""One process of a run: its share of the missing parts, through the archive's handler, under Lightning's Trainer.predict.

Run as a module with the run's folder, by predict_batch.py; told by torchrun's variables which of how many processes it is.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import shutil
import sys
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from lightning import pytorch as pl
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.strategies import DDPStrategy, Strategy
from ruamel.yaml import YAML
from torch.utils.data import DataLoader, Dataset

from marina.roads.parts import Parts
from marina.roads.worker import Answer, Asked, Worker
from marina.store.contents import unpack
from marina.store.samples import MODEL_CONFIG, answer_of, best_label

Row: TypeAlias = dict[str, object]


@dataclass(frozen=True)
class Read:
    """An input as it was read: its bytes, or why it could not be."""

    index: int
    source: str
    content: bytes | None
    reason: str | None = None


class Batches(Dataset[list[Read]]):
    """The batches of some parts; none goes beyond its part, so that no sampler has anything to fill up."""

    def __init__(self, parts: Parts, mine: list[int]) -> None:
        self._base, self._sources, rows = Path(parts.plan.base), parts.sources(), parts.plan.batch_rows
        ranges = [parts.range_of(part) for part in mine]
        self._batches = [whole[at : at + rows] for whole in ranges for at in range(0, len(whole), rows)]

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> list[Read]:
        return [self._read(index) for index in self._batches[number]]

    def _read(self, index: int) -> Read:
        source = self._sources[index]
        try:
            return Read(index, source, (self._base / source).read_bytes())
        except OSError as error:
            return Read(index, source, None, f"cannot be read: {error.strerror or error}")


class Handled(pl.LightningModule):
    """The archive's handler, as Lightning knows a model; its network stays the handler's own."""

    def __init__(self, parts: Parts, folder: Path) -> None:
        super().__init__()
        self._parts, self._folder = parts, folder
        self.allow_zero_length_dataloader_with_multiple_devices = True  # where there are fewer parts than processes

    def setup(self, stage: str) -> None:
        """Load the archive, on the GPU that Lightning has for this process, with this process's share of the cores."""
        shutil.rmtree(self._folder, ignore_errors=True)  # of a run that was killed
        unpack(Path(self._parts.plan.archive), self._folder)
        _share_cores(self._folder / MODEL_CONFIG, _variable("LOCAL_WORLD_SIZE", 1))
        device = self.trainer.strategy.root_device
        self._worker = Worker(self._folder, gpu=device.index if device.type == "cuda" else None)

    def transfer_batch_to_device(self, batch: list[Read], device: torch.device, dataloader_idx: int) -> list[Read]:
        """Leave the batch where it is: what goes to the device is the handler's business."""
        return batch

    def predict_step(self, batch: list[Read], batch_idx: int) -> list[Row]:
        """A row for each input; the handler's three stages answer those that could be read, as one batch of a worker."""
        readable = [one for one in batch if one.content is not None]
        answers = self._worker.ask([Asked.of(one.content or b"", f"{one.index}") for one in readable]) if readable else []
        answered = {one.index: answer for one, answer in zip(readable, answers, strict=True)}
        return [_row(one, answered.get(one.index)) for one in batch]


class Writer(BasePredictionWriter):
    """Writes each part as soon as its last batch was computed."""

    def __init__(self, parts: Parts) -> None:
        super().__init__("batch")
        self._parts = parts
        self._rows: list[Row] = []

    def write_on_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, prediction: Any, *batch: Any) -> None:
        """Keep a batch's rows, until there are all of the part's."""
        self._rows += prediction
        last = int(str(self._rows[-1]["index"]))
        part = last // self._parts.plan.part_rows
        if last == self._parts.range_of(part)[-1]:
            self._parts.write(part, self._rows)
            self._rows = []


def run_process(parts: Parts, missing: list[int]) -> None:
    """Compute this process's share of the missing parts.

    Args:
        parts: the run.
        missing: the same list in every process.
    """
    rank, processes = _variable("RANK", 0), _variable("WORLD_SIZE", 1)
    folder = parts.folder / f"unpacked-{rank}"
    loader = DataLoader(Batches(parts, missing[rank::processes]), batch_size=None)
    with _quiet():
        trainer = _trainer(processes, Writer(parts))
        trainer.predict(Handled(parts, folder), dataloaders=loader, return_predictions=False)
    shutil.rmtree(folder, ignore_errors=True)


def _trainer(processes: int, writer: Writer) -> pl.Trainer:
    on_gpu, here = torch.cuda.is_available(), _variable("LOCAL_WORLD_SIZE", 1)
    strategy: Strategy | str = DDPStrategy(process_group_backend="nccl" if on_gpu else "gloo") if processes > 1 else "auto"
    return pl.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=here,
        num_nodes=processes // here,
        strategy=strategy,
        callbacks=[writer],
        inference_mode=False,  # as in a worker: what a network keeps of it could not be differentiated
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _row(read: Read, answer: Answer | None) -> Row:
    row: Row = {"index": read.index, "source": read.source, "status": None, "reason": read.reason}
    if answer is None:
        return row
    text = _text(answer.body)
    row |= {"status": answer.status, "version": answer.headers.get("X-Model-Version")}
    if answer.status != 200:
        return row | {"reason": _reason(text)}
    return row | {"answer": text, "label": best_label(answer_of(text))}


def _text(body: bytes) -> str:
    """Text as it is, without the line's end; other bytes as base64."""
    try:
        return body.decode().rstrip("\n")
    except UnicodeDecodeError:
        return base64.b64encode(body).decode()


def _reason(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, TypeError, KeyError):
        return text


def _share_cores(config: Path, processes: int) -> None:
    """Let the handler divide the cores by the processes of this machine, as it does by the workers of a server."""
    yaml, text = YAML(typ="safe", pure=True), io.StringIO()
    content = yaml.load(config.read_text(encoding="utf-8")) if config.is_file() else {}
    yaml.dump({**content, "minWorkers": processes, "maxWorkers": processes}, text)
    config.write_text(text.getvalue(), encoding="utf-8")


def _variable(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


def _quiet() -> Any:
    """Lightning's advice is for those who train; what goes wrong is raised."""
    for name in ("lightning.pytorch", "lightning.fabric", "ts.torch_handler.base_handler"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return warnings.catch_warnings(action="ignore")


def _end_with_parent() -> None:
    """Our standard input is a pipe to the process that started us: it ends with that, however that happens."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def main(folder: Path) -> None:
    """A process that predict_batch.py has started."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    parts = Parts(folder)
    run_process(parts, json.loads((folder / "missing.json").read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
