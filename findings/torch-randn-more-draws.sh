#!/usr/bin/env bash
# With one seed, torch.randn(17) does not begin with the numbers of torch.randn(16)
#
# Version:   torch 2.13.0, on the CPU (numpy 2.4.6 for comparison)
# Expected:  A seeded stream of random numbers is one stream: asking for more of them changes none that come first. So it
#            is with NumPy, and with torch's own uniform numbers.
# Seen:      Normal numbers are one stream below 16 of them, and over multiples of 16. From 15 to 16 all change; from 16 to 17
#            all but the first; and of 17 only the first is kept in 32.
# Why:       Small studies of recursive training draw few numbers: n points of one or two dimensions, or one vector of noise.
#            With one item more, items before it change as well, so that runs of two sizes with one seed do not share their
#            items, and "the same items and one more" are other items.
# Instead:   Draw each item from a generator of its own seed, or draw whole multiples of 16 and cut.
#
# Output seen (how many of the numbers of the smaller draw begin the larger one):
# | numpy normal, 16 in 17: 16
# | torch uniform, 16 in 17: 16
# | torch normal, 8 in 15: 8
# | torch normal, 15 in 16: 0
# | torch normal, 16 in 17: 1
# | torch normal, 16 in 32: 16
# | torch normal, 17 in 32: 1
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'

"$folder/venv/bin/python" -I - > "$folder/seen" <<'PYTHON'
import numpy as np
import torch


def numpy_normal(n):
    return np.random.default_rng(0).standard_normal(n)


def torch_uniform(n):
    return torch.rand(n, generator=torch.Generator().manual_seed(0)).numpy()


def torch_normal(n):
    return torch.randn(n, generator=torch.Generator().manual_seed(0)).numpy()


def show(draw, fewer, more):
    kept = (draw(fewer) == draw(more)[:fewer]).sum()
    print(f"{draw.__name__.replace('_', ' ')}, {fewer} in {more}: {kept}")


show(numpy_normal, 16, 17)
show(torch_uniform, 16, 17)
show(torch_normal, 8, 15)
show(torch_normal, 15, 16)
show(torch_normal, 16, 17)
show(torch_normal, 16, 32)
show(torch_normal, 17, 32)
PYTHON

sed -n 's/^# | //p' "$0" | diff -u --label expected --label seen - "$folder/seen"
cat "$folder/seen"
