"""Benchmarks of a run's checkpoints with EleutherAI's lm-evaluation-harness."""
