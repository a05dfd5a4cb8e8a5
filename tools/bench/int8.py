"""Would int8 be faster on this processor? Linear layers of da3-base in bf16 and in int8, in turn.

    python -m tools.bench.int8

int8 is torch's dynamic quantisation, weights by channel, in oneDNN (VNNI, AMX). It is worth its
error only if whole layers are at least 1.3 times as fast; see docs/speed.md for what came out.
"""

from __future__ import annotations

import time
import warnings
from statistics import median

import torch
from torch import nn

from da3_ros.net.precision import Linear

TOKENS = 4 * (1 + 27 * 36)
"""Of four views of 504x378 px."""

LAYERS = {"qkv": (768, 2304), "proj": (768, 768), "fc1": (768, 3072), "fc2": (3072, 768)}
RUNS = 11


def layers(inputs: int, outputs: int) -> dict[str, nn.Module]:
    """The same size in both types."""
    lowered = Linear(inputs, outputs).to(torch.bfloat16)
    lowered.pack()
    torch.backends.quantized.engine = "onednn"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = nn.Sequential(nn.Linear(inputs, outputs)).eval()
        small = torch.ao.quantization.quantize_dynamic(whole, {nn.Linear}, dtype=torch.qint8)
    return {"bf16": lowered, "int8": small}


@torch.inference_mode()
def measure(inputs: int, outputs: int) -> dict[str, float]:
    """Median ms of the calling thread, from fp32, as the residual stream is."""
    x = torch.randn(TOKENS, inputs)
    modules = layers(inputs, outputs)
    seconds: dict[str, list[float]] = {name: [] for name in modules}
    for _ in range(RUNS):
        for name, module in modules.items():
            start = time.thread_time()
            module(x)
            seconds[name].append(time.thread_time() - start)
    return {name: round(1000 * median(s[1:]), 1) for name, s in seconds.items()}


def main() -> None:
    torch.set_num_threads(1)
    total = {"bf16": 0.0, "int8": 0.0}
    for name, size in LAYERS.items():
        found = measure(*size)
        total = {k: total[k] + v for k, v in found.items()}
        print(f"{name} {size[0]} -> {size[1]}: bf16 {found['bf16']} ms, int8 {found['int8']} ms")
    print(f"all linears of a block: int8 is {total['bf16'] / total['int8']:.2f} times as fast")


if __name__ == "__main__":
    main()
