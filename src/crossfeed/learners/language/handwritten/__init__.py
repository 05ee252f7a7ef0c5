"""Llamas written by hand: the passes of small models on a CPU, without autograd and with few, large products."""
