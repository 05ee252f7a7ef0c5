"""Benchmarks (EleutherAI's lm-evaluation-harness), which answer: how good are the models that a run keeps?"""
