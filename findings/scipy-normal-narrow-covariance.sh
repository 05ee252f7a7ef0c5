#!/usr/bin/env bash
# SciPy's multivariate_normal takes a narrow covariance for a singular one, and then gives its own samples density zero
#
# Version:   scipy 1.17.1 (numpy 2.4.6)
# Expected:  A diagonal covariance with variances 1 and 1e-12 is positive definite, well within double precision, so `logpdf`
#            returns a finite number; another unit for a coordinate changes it by the logarithm of the factor alone.
# Seen:      Below a ratio of variances of about 2e-10 `logpdf` refuses the matrix as not positive definite. With
#            `allow_singular=True` it leaves the narrow direction out: the log density at the mean is that of one dimension,
#            and of 1,000 samples of the same Gaussian 822 have density zero. In another unit the same Gaussian is accepted.
# Why:       A Gaussian that is refitted to its own samples collapses, in one direction before the others. Its evaluation
#            then ends, or turns to minus infinity, long before double precision does, at a generation that depends on the
#            units of the data.
# Instead:   `scipy.stats.Covariance.from_cholesky(numpy.linalg.cholesky(covariance))` in place of the matrix.
#
# Output seen:
# | exact log density at the mean: 11.98
# | as a matrix: LinAlgError
# | as a matrix, variances 1 and 3e-10: 9.13
# | as a matrix, allow_singular=True: -0.92
# | its own samples that have density zero then: 822 of 1000
# | as a matrix, second coordinate in units of 1e-6: 11.98
# | from its Cholesky factor: 11.98
# | its own samples that have density zero then: 0 of 1000
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'scipy==1.17.1' 'numpy==2.4.6'

"$folder/venv/bin/python" -I - > "$folder/seen" <<'PYTHON'
import numpy as np
from scipy.stats import Covariance, multivariate_normal, norm

deviations = np.array([1.0, 1e-6])
covariance, mean = np.diag(deviations**2), np.zeros(2)
samples = deviations * np.random.default_rng(0).standard_normal((1000, 2))


def log_density(points, matrix, **options):
    try:
        return multivariate_normal.logpdf(points, mean, matrix, **options)
    except np.linalg.LinAlgError:
        return None


def told(value):
    return "LinAlgError" if value is None else f"{value:.2f}"


def without_density(matrix, **options):
    return f"{np.isneginf(log_density(samples, matrix, **options)).sum()} of {len(samples)}"


print("exact log density at the mean:", told(norm.logpdf(0, scale=deviations).sum()))
print("as a matrix:", told(log_density(mean, covariance)))
print("as a matrix, variances 1 and 3e-10:", told(log_density(mean, np.diag([1, 3e-10]))))
print("as a matrix, allow_singular=True:", told(log_density(mean, covariance, allow_singular=True)))
print("its own samples that have density zero then:", without_density(covariance, allow_singular=True))
print("as a matrix, second coordinate in units of 1e-6:", told(log_density(mean, np.eye(2)) + np.log(1e6)))
factor = Covariance.from_cholesky(np.linalg.cholesky(covariance))
print("from its Cholesky factor:", told(log_density(mean, factor)))
print("its own samples that have density zero then:", without_density(factor))
PYTHON

sed -n 's/^# | //p' "$0" | diff -u --label expected --label seen - "$folder/seen"
cat "$folder/seen"
