"""Rewards: what readers and users prefer, by which they choose among candidates (`crossfeed.generation.choice`)."""
