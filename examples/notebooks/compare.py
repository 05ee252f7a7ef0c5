# %% [markdown]
# # Compare: a run beside exact theory, and one workflow beside another
#
# The same description can be run and predicted. Here two linear models train on each other's outputs, once on those of
# the newest generation alone, once on all that were ever published: 1,000 ecosystems at once, each with its own data.

# %%
import pandas as pd
from matplotlib import pyplot as plt

from crossfeed import Experiment, Run, figures, open_store, predict, run

experiment = Experiment.from_yaml("""
name: two-histories
ecosystem:
  entities: [{name: a, private: a}, {name: b, private: b}]
  alpha: 0.9
  beta: 0.5
learner: {kind: linear, noise: 1.0}
tasks:
  a: &private {source: regression, dimension: 6, rank: 3, rows: 12, entity: 0, replicates: 1000, truth: {norm: 3.0}}
  b: {<<: *private, entity: 1}
public: {<<: *private, rank: 6, rows: 20}
generations: 10
metrics: {loss: {}}
grid:
  ecosystem.history: [latest, accumulate]
""")

# %%
run(experiment, open_store("runs/notebook-histories"))
measured, exact = Run.load("runs/notebook-histories"), predict(experiment)

# %% [markdown]
# How far is the run from its expectation? The mean over 1,000 ecosystems leaves a few per cent to chance.

# %%
keys = ["ecosystem.history", "generation", "model", "task"]
tables = {"measured": measured.records, "exact": exact.records}
losses = {name: table.query("metric == 'loss'").set_index(keys)["value"] for name, table in tables.items()}
beside = pd.DataFrame(losses)
beside["per cent apart"] = 100 * (beside["measured"] / beside["exact"] - 1)
beside.query("generation == 10")

# %%
print(f"farthest apart: {beside['per cent apart'].abs().max():.1f} per cent")

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
for axis, task in zip(axes, ("a", "b"), strict=True):
    figures.loss_curve(exact, model="a", task=task, ax=axis)
    for line in axis.lines:
        line.set(linewidth=5, alpha=0.3, marker="", label=f"exact, {line.get_label()}")
    figures.loss_curve(measured, model="a", task=task, ax=axis)
figure.savefig("compare.png", dpi=150)
