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
    """Return AdamW (Loshchilov and Hutter, 2019) that decays matrices and leaves vectors alone, as transformers does.

    Args:
        parameters: Parameters by name.
        rate: The learning rate.
        betas: The two decay rates of the moments.
        decay: Weight decay of matrices.
        epsilon: Added to the denominator.
    """
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
    """Set the learning rate of every group.

    Args:
        optimizer: The optimizer.
        rate: The learning rate.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate


def constant_with_warmup(step: int, steps: int, share: float) -> float:
    """Return the factor of the rate at a step, as transformers does: it rises from 0 over ``ceil(share steps)`` steps.

    A training of one step has no warmup: its only step would teach nothing.

    Args:
        step: The step, from 0.
        steps: Number of steps.
        share: Share of the steps with a rising rate.
    """
    warmup = min(math.ceil(share * steps), steps - 1)
    return min(1.0, step / warmup) if warmup else 1.0


def trapezoid(step: int, steps: int, warmup: int, flat: float) -> float:
    """Return the factor of the rate at a step: it rises over `warmup` steps, is constant, then falls linearly to zero.

    Args:
        step: The step, from 0.
        steps: Number of steps.
        warmup: Number of steps with a rising rate.
        flat: Share of the steps, warmup included, after which the rate falls.
    """
    fall = max(warmup, round(flat * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 1.0 if step < fall else (steps - step) / (steps - fall)


def moments(optimizer: torch.optim.AdamW, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Return the optimizer's moments and step count, by parameter name; they change with the next step.

    Args:
        optimizer: AdamW.
        parameters: Its parameters by name.
    """
    saved: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        state: dict[str, Any] = optimizer.state.get(parameter, {})
        for moment in _MOMENTS if state else ():
            saved[f"{moment}.{name}"] = state[moment]
        if state:
            saved["step"] = torch.as_tensor(state["step"], dtype=torch.float32)
    return saved


def restore(optimizer: torch.optim.AdamW, parameters: Mapping[str, nn.Parameter], saved: Mapping[str, Tensor]) -> None:
    """Give an optimizer copies of saved moments.

    Args:
        optimizer: AdamW.
        parameters: Its parameters by name.
        saved: Moments from `moments`, perhaps none.
    """
    fused = bool(optimizer.defaults["fused"])
    for name, parameter in parameters.items():
        if f"exp_avg.{name}" not in saved:
            continue
        step = saved["step"].clone()
        optimizer.state[parameter] = {
            "step": step.to(parameter.device) if fused else step,
            **{moment: saved[f"{moment}.{name}"].to(parameter.device, copy=True) for moment in _MOMENTS},
        }
