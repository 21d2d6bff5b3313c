"""FastAPI, as its tutorial has it: a file of a form, a function that is not ``async`` since it computes, and worker processes.

https://fastapi.tiangolo.com/tutorial/request-files/, https://fastapi.tiangolo.com/async/,
https://fastapi.tiangolo.com/deployment/server-workers/
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, UploadFile

from peers.classifier import Answer, Classifier, number

IMPORT_SECONDS = 120  # in which a worker may import torch; uvicorn ends one that is silent for five seconds
loaded: list[Classifier] = []


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Load the network, in each worker."""
    loaded.append(Classifier())
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/predict")
def predict(file: UploadFile) -> Answer:
    """The best classes; it runs in FastAPI's pool of threads."""
    return loaded[0].classify([loaded[0].prepare(file.file.read())])[0]


if __name__ == "__main__":
    uvicorn.run(
        "peers.fastapi_app:app",
        host="127.0.0.1",
        port=number("PORT"),
        workers=number("WORKERS"),
        log_level="warning",
        timeout_worker_healthcheck=IMPORT_SECONDS,
    )
