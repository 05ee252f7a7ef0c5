"""Measure the speed of training steps on this machine.

``python -m crossfeed.learners.neural.calibration`` prints it as JSON.

A step trains a causal transformer of the quickstart's size (two layers of width 64, a vocabulary of 1,024) on eight
texts of 128 tokens, on one thread, as each worker of the quickstart does. Processor time is counted, and the quickest
step, so that others at work on the machine change little.
"""

from __future__ import annotations

import json
import time
from typing import Any, Final

import torch
from torch import nn

from crossfeed.learners.neural.compiled.library import compiler, library
from crossfeed.learners.neural.device import open_device

__all__ = ["calibrate"]

_WIDTH, _HEADS, _INNER, _LAYERS, _VOCABULARY, _BATCH, _LENGTH = 64, 2, 172, 2, 1024, 8, 128
_STEPS: Final = 6  # at least
_SECONDS: Final = 1.5


def calibrate() -> dict[str, Any]:
    """Return the device that learners choose by default, the C compiler, and processor seconds of a step on the CPU."""
    threads = torch.get_num_threads()
    device = open_device("auto", "auto", 1)
    memory = torch.cuda.mem_get_info(device.torch_device)[1] if device.torch_device.type == "cuda" else None
    described = {"kind": device.torch_device.type, "memory": memory, **device.describe(), "threads": threads}
    compiled = " ".join(compiler() or []) if library() is not None else ""
    own = {"compiler": compiled, "instructions": _instructions(), "torch": torch.__version__}
    return described | own | {"step": _step_seconds()}


def _instructions() -> str:
    """Return the instructions that torch uses: its vectors, and products of bf16 numbers where it has these."""
    products = {"bf16": "_is_avx512_bf16_supported", "AMX": "_is_amx_tile_supported"}
    asked = {name: getattr(torch.cpu, function, None) for name, function in products.items()}
    return ", ".join([torch.backends.cpu.get_cpu_capability(), *(name for name, has in asked.items() if has and has())])


def _step_seconds() -> float:
    torch.manual_seed(0)  # of a process of its own
    layer = nn.TransformerEncoderLayer(_WIDTH, _HEADS, _INNER, dropout=0.0, batch_first=True, norm_first=True)
    model = nn.ModuleDict(
        {
            "tokens": nn.Embedding(_VOCABULARY, _WIDTH),
            "body": nn.TransformerEncoder(layer, _LAYERS, enable_nested_tensor=False),
            "head": nn.Linear(_WIDTH, _VOCABULARY),
        }
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    ids = torch.randint(_VOCABULARY, (_BATCH, _LENGTH + 1))
    mask = nn.Transformer.generate_square_subsequent_mask(_LENGTH)
    spent: list[float] = []
    begun = time.monotonic()
    while len(spent) < _STEPS or time.monotonic() - begun < _SECONDS:
        before = time.process_time()
        hidden = model["body"](model["tokens"](ids[:, :-1]), mask=mask, is_causal=True)
        loss = nn.functional.cross_entropy(model["head"](hidden).flatten(0, 1), ids[:, 1:].flatten())
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        spent.append(time.process_time() - before)
    return min(spent)  # others on the machine slow some steps down, and none up


if __name__ == "__main__":
    print(json.dumps(calibrate()))
