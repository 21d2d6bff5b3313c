"""What Marina's handlers share. Staged into every archive; the server needs nothing of it installed."""

from handlerkit.batch import Batch, Row
from handlerkit.errors import (
    BadRequest,
    DeadlineExceeded,
    PayloadTooLarge,
    RequestError,
    ServerFault,
    UnprocessableInput,
    UnsupportedMediaType,
)
from handlerkit.model_handler import ModelHandler

__all__ = [
    "BadRequest",
    "Batch",
    "DeadlineExceeded",
    "ModelHandler",
    "PayloadTooLarge",
    "RequestError",
    "Row",
    "ServerFault",
    "UnprocessableInput",
    "UnsupportedMediaType",
]
