#!/usr/bin/env bash
# In vendi-score the order of the diversity changes nothing where it is computed from features: score_X takes q and ignores it
#
# Version:   vendi-score 0.0.3 (numpy 2.4.6, scipy 1.17.1, scikit-learn 1.9.1)
# Expected:  `score_X(X, q=2)` and `score_dual(X, q=2)` are the same number, as `score_K` of the same kernel: the Vendi score
#            of order q (Pasarkar and Dieng, 2024) is one number, whichever matrix its eigenvalues come from.
# Seen:      `score_X` gives the order 1 whatever q is, without a word. `score_dual` and `score_K` use q.
# Why:       The orders are what tells "a few topics rule" from "rare ones are gone". A study that sweeps q over features
#            sees flat curves, or compares order 1 of one function with order 2 of another.
# Instead:   `score_dual(X, q=q, normalize=True)`, or `score_K(X @ X.T, q=q)` of unit-norm rows.
#
# Output seen:
# | q = 0.5: score_X 2.0868, score_dual 2.4747, score_K 2.4747
# | q = 1: score_X 2.0868, score_dual 2.0868, score_K 2.0868
# | q = 2: score_X 2.0868, score_dual 1.6842, score_K 1.6842
# | by hand, eigenvalues 6/8, 1/8, 1/8: q = 0.5 2.4747, q = 1 2.0868, q = 2 1.6842
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'vendi-score==0.0.3' 'numpy==2.4.6' 'scipy==1.17.1' 'scikit-learn==1.9.1'

"$folder/venv/bin/python" -I - > "$folder/seen" 2> "$folder/errors" <<'PYTHON' || { cat "$folder/errors"; exit 1; }
import numpy as np
from vendi_score import vendi

# Eight outputs: six times the same one, and two others that have nothing in common with it.
X = np.eye(3)[[0, 0, 0, 0, 0, 0, 1, 2]]
for q in (0.5, 1, 2):
    from_features, dual, kernel = vendi.score_X(X, q=q), vendi.score_dual(X, q=q, normalize=True), vendi.score_K(X @ X.T, q=q)
    print(f"q = {q}: score_X {from_features:.4f}, score_dual {dual:.4f}, score_K {kernel:.4f}")
shares = np.array([6, 1, 1]) / 8
hill = {0.5: (shares**0.5).sum() ** 2, 1: np.exp(-(shares * np.log(shares)).sum()), 2: 1 / (shares**2).sum()}
print("by hand, eigenvalues 6/8, 1/8, 1/8: " + ", ".join(f"q = {q} {value:.4f}" for q, value in hill.items()))
PYTHON

sed -n 's/^# | //p' "$0" | diff -u --label expected --label seen - "$folder/seen"
cat "$folder/seen"
