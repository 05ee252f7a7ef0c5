"""Shared by learners built on torch: devices, the training loop, the optimizer, CUDA graphs and compiled kernels."""
