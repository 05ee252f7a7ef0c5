"""AdamW and the schedules of its rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["adamw", "constant_with_warmup", "moments", "restore", "set_rate", "trapezoid"]

_MOMENTS = ("exp_avg", "exp_avg_sq")


def adamw(
    parameters: Mapping[str, nn.Parameter],
    rate: float,
    betas: tuple[float, ...],
    decay: float,
    epsilon: float = 1e-8,
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, 2019) that decays matrices and leaves vectors alone, as transformers does."""
    groups = [
        {"params": [p for p in parameters.values() if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in parameters.values() if p.ndim < 2], "weight_decay": 0.0},
    ]
    device = next(iter(parameters.values())).device.type
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=rate,
        betas=(betas[0], betas[1]),
        eps=epsilon,
        fused=device in ("cpu", "cuda"),
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group a rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def constant_with_warmup(step: int, steps: int, share: float) -> float:
    """Factor of the rate at a step counted from 0, as transformers': it rises from 0 over ``ceil(share steps)``.

    A training of one step has no warmup: its only step would teach nothing.
    """
    warmup = min(math.ceil(share * steps), steps - 1)
    return min(1.0, step / warmup) if warmup else 1.0


def trapezoid(step: int, steps: int, warmup: int, flat: float) -> float:
    """Factor of the rate at a step counted from 0: up over `warmup` steps, flat, then linearly to zero."""
    fall = max(warmup, round(flat * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 1.0 if step < fall else (steps - step) / (steps - fall)


def moments(optimizer: torch.optim.AdamW, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The optimizer's own state, by parameter name; it changes with the next step."""
    found: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        state: dict[str, Any] = optimizer.state.get(parameter, {})
        for moment in _MOMENTS if state else ():
            found[f"{moment}.{name}"] = state[moment]
        if state:
            found["step"] = torch.as_tensor(state["step"], dtype=torch.float32)
    return found


def restore(optimizer: torch.optim.AdamW, parameters: Mapping[str, nn.Parameter], saved: Mapping[str, Tensor]) -> None:
    """Put back copies of what `moments` gave."""
    fused = bool(optimizer.defaults["fused"])
    for name, parameter in parameters.items():
        if f"exp_avg.{name}" not in saved:
            continue
        step = saved["step"].clone()
        optimizer.state[parameter] = {
            "step": step.to(parameter.device) if fused else step,
            **{moment: saved[f"{moment}.{name}"].to(parameter.device, copy=True) for moment in _MOMENTS},
        }
