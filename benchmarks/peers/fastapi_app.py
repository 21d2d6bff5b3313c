"""FastAPI, as its tutorial has it: a file of a form, a function that is not ``async`` since it computes, and worker processes.

https://fastapi.tiangolo.com/tutorial/request-files/, https://fastapi.tiangolo.com/async/,
https://fastapi.tiangolo.com/deployment/server-workers/
"""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI, UploadFile

from peers.classifier import Answer, Classifier, number

app = FastAPI()
classifier: list[Classifier] = []


@app.on_event("startup")
def load() -> None:
    """Load the network, in each worker."""
    classifier.append(Classifier())


@app.post("/predict")
def predict(file: UploadFile) -> Answer:
    """The best classes; it runs in FastAPI's pool of threads."""
    return classifier[0].classify([classifier[0].prepare(file.file.read())])[0]


if __name__ == "__main__":
    uvicorn.run("peers.fastapi_app:app", host="127.0.0.1", port=number("PORT"), workers=number("WORKERS"), log_level="warning")
