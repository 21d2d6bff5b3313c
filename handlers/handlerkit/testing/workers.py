"""A worker of TorchServe without its frontend: the loader, the service and the messages are TorchServe's own."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import ts
from ts.metrics.metric_cache_yaml_impl import MetricsCacheYamlImpl
from ts.model_loader import TsModelLoader
from ts.service import Service
from ts.utils.util import get_yaml_config

from handlerkit.testing.archives import read_manifest, unpack
from handlerkit.testing.replies import Answer, read_replies
from handlerkit.testing.surroundings import Surroundings

STOCK_METRICS = Path(ts.__file__).parent / "configs" / "metrics.yaml"
BATCH_SIZE = 8
PREDICT = {"explain": "False"}  # TorchServe's frontend sets it on every request that comes by HTTP
EXPLAIN = {"explain": "True"}
DESCRIBE = {"describe": "True"}

Content = bytes | bytearray | str | Mapping[str, Any]


class Worker:
    """A handler, loaded as a worker of TorchServe loads it, and asked in batches.

    What ``handle`` raises is answered as TorchServe answers it: 503 to every row of the batch. What ends the process
    (SystemExit) is raised here as well.

    Attributes:
        handler: the handler, or its function.
    """

    def __init__(
        self,
        handler: Any,
        folder: Path,
        config: Mapping[str, Any] | None = None,
        version: str = "1.0",
        metrics: Path = STOCK_METRICS,
    ) -> None:
        """Initialize a handler that a test has made, on a folder with its network.

        Args:
            handler: with ``initialize`` and ``handle``.
            folder: ``model.pt`` in it is the serialised file, ``network.py`` the model file.
            config: content of model-config.yaml.
            version: of the model, whose name is ``tiny``.
            metrics: the server's metrics.yaml.
        """
        named = {"serializedFile": "model.pt", "modelFile": "network.py"}
        model = {key: name for key, name in named.items() if (folder / name).exists()}
        manifest = {"model": model | {"modelName": "tiny", "modelVersion": version}}
        service = Service("tiny", str(folder), manifest, handler.handle, None, BATCH_SIZE, True, _metrics(metrics, "tiny"))
        service.context.model_yaml_config = dict(config or {})
        handler.initialize(service.context)
        self._take(service, contextlib.nullcontext())

    @classmethod
    def load(cls, archive: str | Path, metrics: Path = STOCK_METRICS) -> Worker:
        """Load an archive: a .mar, or the folder that ``pack`` has laid out or a .mar was unpacked to.

        Raises:
            FileNotFoundError: the archive is not there, or has no manifest.
            Exception: what the handler raises on import or from ``initialize``; TorchServe hides the first.
        """
        worker, temporary = cls.__new__(cls), contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            undo.push(temporary)
            folder = unpack(Path(archive).resolve(), Path(temporary.enter_context(tempfile.TemporaryDirectory(prefix="worker-"))))
            place = Surroundings(folder)
            with place:
                service = _load(folder, metrics)
            undo.pop_all()
        worker._take(service, place)
        worker._temporary.push(temporary)
        return worker

    def _take(self, service: Service, place: AbstractContextManager[Any]) -> None:
        service.set_cl_socket(None)
        self._service, self._place, self._temporary = service, place, contextlib.ExitStack()
        self._handle = service._entry_point
        self.handler = getattr(self._handle, "__self__", self._handle)
        service._entry_point = self._noting
        self._raised: BaseException | None = None

    def __enter__(self) -> Worker:
        """The worker; leaving the context removes what was unpacked for it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Remove what was unpacked."""
        self._temporary.close()

    def ask(self, *rows: Content, headers: Sequence[Mapping[str, str]] | None = None) -> list[Answer]:
        """The answers to a batch of rows.

        Args:
            rows: bytes, as the body of a request; or its parts by name, as ``handle`` gets them: bytes, text or, where
                the request was JSON, the value.
            headers: of each row's request, PREDICT, EXPLAIN and DESCRIBE among them; left out, all predict.
        """
        given = headers or [PREDICT] * len(rows)
        batch = [_request(index, row, PREDICT | dict(one)) for index, (row, one) in enumerate(zip(rows, given, strict=True))]
        self._raised = None
        with self._place:
            message = self._service.predict(batch)
        return read_replies(message, self._raised)

    def _noting(self, data: Any, context: Any) -> Any:
        """Call ``handle``, and keep what it raises: TorchServe writes that to the log alone."""
        try:
            return self._handle(data, context)
        except BaseException as error:
            self._raised = error
            raise


def _load(folder: Path, metrics: Path) -> Service:
    model = read_manifest(folder)["model"]
    handler, name = _importable(model["handler"], folder), model["modelName"]
    importlib.import_module(handler.partition(":")[0].removesuffix(".py"))  # TorchServe's loader hides why one does not import
    config = get_yaml_config(str(folder / model["configFile"])) if "configFile" in model else {}
    size = config.get("batchSize") or BATCH_SIZE
    return TsModelLoader().load(name, str(folder), handler, None, size, None, True, _metrics(metrics, name))


def _importable(handler: str, folder: Path) -> str:
    """The handler as the loader takes it; TorchServe's own by their full names, lest another module of the name be found."""
    module = handler.partition(":")[0].removesuffix(".py")
    stock = f"ts.torch_handler.{module}"
    if not (folder / f"{module}.py").exists() and importlib.util.find_spec(stock):
        return handler.replace(module, stock, 1)
    return handler


def _metrics(path: Path, model: str) -> MetricsCacheYamlImpl:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # TorchServe leaves the file open
        metrics = MetricsCacheYamlImpl(str(path))
    metrics.initialize_cache()
    metrics.model_name = model
    return metrics


def _request(index: int, row: Content, headers: Mapping[str, str]) -> dict[str, Any]:
    parts = row if isinstance(row, Mapping) else {"body": row}
    return {
        "requestId": f"id-{index}".encode(),
        "headers": [{"name": name.encode(), "value": value.encode()} for name, value in headers.items()],
        "parameters": [
            {"name": name, "value": bytearray(value) if isinstance(value, bytes) else value, "contentType": ""}
            for name, value in parts.items()
        ],
    }
