"""A plain PyTorch loop over a model of transformers, as one would write it."""

from __future__ import annotations

import torch
from torch.nn.utils.rnn import pad_sequence


def train(model, rows, how, pad: int) -> None:
    """One pass over examples in their order: batches padded on the right, fused AdamW, clipping.

    No attention mask: attention is causal, so that nothing that is read sees the padding, and a mask costs time.

    Args:
        model: A causal language model of transformers.
        rows: Token ids of each example.
        how: A `rivals.stack.Training`.
        pad: A token that fills rows.
    """
    model.train()
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": how.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=how.learning_rate, betas=how.betas, eps=how.epsilon, fused=True)
    steps = -(-len(rows) // how.batch_size)
    warmup = how.warmup_steps(steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / warmup) if warmup else 1.0)
    for step in range(steps):
        ids = [torch.tensor(row) for row in rows[step * how.batch_size : (step + 1) * how.batch_size]]
        inputs = pad_sequence(ids, batch_first=True, padding_value=pad)
        labels = pad_sequence(ids, batch_first=True, padding_value=-100)
        loss = model(input_ids=inputs, labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), how.clipping)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    model.eval()
