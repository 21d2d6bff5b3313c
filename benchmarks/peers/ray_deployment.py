"""Ray Serve, as its guides have it: replicas of one core each, and dynamic batching.

https://docs.ray.io/en/latest/serve/tutorials/serve-ml-models.html, https://docs.ray.io/en/latest/serve/advanced-guides/dyn-req-batch.html
"""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import ray
from ray import serve
from starlette.requests import Request

from peers.classifier import Answer, Classifier, number

BATCH, WORKERS = number("BATCH"), number("WORKERS")


@serve.deployment(num_replicas=WORKERS, ray_actor_options={"num_cpus": 1}, max_ongoing_requests=4 * BATCH)
class ImageModel:
    """The picture as it is to the best classes."""

    def __init__(self) -> None:
        self.classifier = Classifier()
        self.pool = ThreadPoolExecutor()

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0.01)
    async def predict(self, contents: list[bytes]) -> list[Answer]:
        """Several callers' pictures."""
        return self.classifier.classify(list(self.pool.map(self.classifier.prepare, contents)))

    async def __call__(self, request: Request) -> Answer:
        """One caller's."""
        answer: Answer = await self.predict(await request.body())
        return answer


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    home = os.environ["PEERS"]
    ray.init(
        num_cpus=max(2, WORKERS),
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
        _temp_dir=os.environ["PEER_TEMP"],
        runtime_env={"env_vars": {"PYTHONPATH": home}},
        object_store_memory=100_000_000,
    )
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": number("PORT")})
        serve.run(ImageModel.bind(), blocking=True)  # type: ignore[attr-defined]
    finally:
        serve.shutdown()
        ray.shutdown()
