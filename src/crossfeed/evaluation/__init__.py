"""Checkpoints of a run under benchmarks (EleutherAI's lm-evaluation-harness)."""
