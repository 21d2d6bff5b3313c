"""What a SageMaker container does with a model.tar.gz, by its own HandlerService: unpack, load, ask. Run as a script.

Called with the archive, a folder to unpack it to and requests' files; prints a status and a body for each, as JSON.
"""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path
from typing import Any


def main(archive: str, folder: str, requests: list[str]) -> None:
    """Answer requests, each by itself."""
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    sys.path.insert(0, str(Path(folder) / "code"))
    from sagemaker_pytorch_serving_container.handler_service import HandlerService
    from ts.context import Context

    bodies = [Path(name).read_bytes() for name in requests]
    context = Context("digits", folder, {}, 1, None, None)
    service = HandlerService()
    service.initialize(context)
    print(json.dumps([ask(service, context, body) for body in bodies]))  # noqa: T201 - the result


def ask(service: Any, context: Any, body: bytes) -> tuple[int, str]:
    """Status and body of one answer."""
    from ts.context import RequestProcessor

    context.request_processor = [RequestProcessor({"Content-Type": "application/octet-stream"})]
    context.request_ids = {0: "one"}
    (answer,) = service.handle([{"body": body}], context)
    text = answer[0] if isinstance(answer, tuple) else answer
    return context.get_response_status(0)[0] or 200, text


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
