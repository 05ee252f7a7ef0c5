#!/usr/bin/env bash
# scikit-learn's GaussianMixture.sample returns points sorted by component, and the same ones at every call
#
# Version:   scikit-learn 1.9.1 (numpy 2.4.6, scipy 1.17.1)
# Expected:  `sample(n)` returns n independent points, of which the first m are as good a sample as any m of them, and a
#            second call returns other points.
# Seen:      All points of the first component come first, then those of the second, and so on: of 300 points of three
#            components the first 80 are from one alone. Where `random_state` is an integer, which is often given to make the
#            fit reproducible, every call of `sample` returns the same points.
# Why:       A study of recursive training draws a pool of outputs and trains the next generation on a part of it. If the
#            part is `pool[:m]`, whole modes are missing: a collapse that the recursion did not cause. And "fresh" outputs,
#            drawn from the same fitted model at every generation, are the old ones.
# Instead:   Permute what was drawn; fit with a `numpy.random.RandomState` instead of an integer.
#
# Output seen:
# | weights of the components: [0.33, 0.33, 0.33]
# | components among 300 points: [0, 1, 2]
# | components among the first 80 of them: [0]
# | labels are sorted: True
# | a second call gives the same points: True
# | a second call gives the same points, random_state a RandomState: False
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'scikit-learn==1.9.1' 'numpy==2.4.6' 'scipy==1.17.1'

"$folder/venv/bin/python" -I - > "$folder/seen" <<'PYTHON'
import numpy as np
from sklearn.mixture import GaussianMixture

rng = np.random.default_rng(0)
data = rng.permutation(np.concatenate([rng.normal(mean, 1.0, (200, 1)) for mean in (-10, 0, 10)]))

model = GaussianMixture(3, random_state=0).fit(data)
pool, labels = model.sample(300)
print("weights of the components:", [round(float(weight), 2) for weight in model.weights_])
print("components among 300 points:", np.unique(labels).tolist())
print("components among the first 80 of them:", np.unique(labels[:80]).tolist())
print("labels are sorted:", bool((np.diff(labels) >= 0).all()))
print("a second call gives the same points:", np.array_equal(model.sample(300)[0], pool))

model = GaussianMixture(3, random_state=np.random.RandomState(0)).fit(data)
first, second = model.sample(300)[0], model.sample(300)[0]
print("a second call gives the same points, random_state a RandomState:", np.array_equal(first, second))
PYTHON

sed -n 's/^# | //p' "$0" | diff -u --label expected --label seen - "$folder/seen"
cat "$folder/seen"
