# %% [markdown]
# # Predict: what exact theory says before anything is run
#
# Two providers with linear models, a small one and a giant. Each owns data that say something about half of the
# dimensions; together with the public data they say everything. What will training on each other's outputs do to them,
# in every generation and in the long run?

# %%
from matplotlib import pyplot as plt

from crossfeed import Experiment, figures, predict

experiment = Experiment.from_yaml("""
name: small-and-giant
ecosystem:
  entities:
    - {name: small, private: small}
    - {name: giant, private: giant, share: 9}    # nine tenths of what is published
learner: {kind: linear, noise: 1.0}
tasks:
  small: &private {source: regression, dimension: 6, rank: 3, rows: 12, entity: 0, truth: {seed: 0, norm: 5.0}}
  giant: {<<: *private, entity: 1}
public: {<<: *private, rank: 6, rows: 20}
generations: 12
grid:
  ecosystem.beta: [0.2, 0.8]
  ecosystem.alpha: [0, 0.25, 0.5, 0.75, 0.95]
""")
experiment

# %% [markdown]
# A prediction is two tables: the moments of every generation, and the limit. Nothing is simulated.

# %%
prediction = predict(experiment)
prediction.limit.query("metric == 'mse' and beta == 0.8").pivot_table(index="alpha", columns="model", values="value")

# %% [markdown]
# A figure of one's own is a few lines: each function draws one panel. (`crossfeed.exact.planning` finds the best
# weights, and `figures.landscape` draws what others cost.)

# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
figures.loss_curve(prediction, model="small", task="giant", where={"beta": 0.8}, ax=axes[0])
figures.efficiency_curve(prediction, where={"beta": 0.8}, ax=axes[1])
figures.loss_matrix(prediction, where={"alpha": 0.5, "beta": 0.8}, ax=axes[2])
figure.savefig("predict.png", dpi=150)
