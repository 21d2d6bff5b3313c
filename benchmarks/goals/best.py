"""What Marina serves an image classifier with on two cores, and TorchServe's own handler, as it is shipped."""

from __future__ import annotations

import os
from dataclasses import dataclass

from goals.networks import Kept
from goals.torchserves import Serving


@dataclass(frozen=True)
class Ours:
    """One of our archives, and how it is served."""

    runtime: str
    precision: str
    serving: Serving

    def archive(self, kept: Kept, network: str = "resnet18") -> str:
        """Its file name, built where it is not there yet."""
        return kept.ours(network, self.runtime, self.precision, self.serving.threads)


# A network of one thread takes 8.4 ms of a core for an image, of two threads 9.7 (int8, batches of eight).
TWO_BY_ONE = Serving(workers=2, batch_size=8, delay_ms=1, threads=1)
INT8 = Ours("openvino", "int8", TWO_BY_ONE)
BF16 = Ours("openvino", "bf16", TWO_BY_ONE)
LATENCY = Ours("openvino", "int8", Serving(workers=1, batch_size=8, delay_ms=1, threads=2))  # for one caller: all cores compute
SMOKE = Ours("openvino", "fp32", INT8.serving)  # needs no calibration, which takes longer than a smoke run may
# Without a word in its configuration TorchServe starts as many workers as there are cores, without batches.
SHIPPED = Serving(workers=os.cpu_count() or 1, batch_size=1, delay_ms=100)
