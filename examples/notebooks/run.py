# %% [markdown]
# # Run: models that really train on each other's outputs
#
# Two of the smallest language models there are: each counts words. One has read warm words, the other cold ones, and
# from generation 1 on a share alpha of what they learn from is what both have written. It takes a second. For two
# transformers in their place, read the preset `quickstart` instead; they take minutes.

# %%
from matplotlib import pyplot as plt

from crossfeed import Experiment, Run, figures, open_store, run
from crossfeed.description.reading import read_preset

experiment = Experiment.from_yaml(read_preset("fake"), ("seeds=[0, 1, 2]", "generations=6"))
experiment

# %% [markdown]
# A run lives in a folder. Running it again goes on where it stopped; what is finished is not done twice.

# %%
outcome = run(experiment, open_store("runs/notebook"))
outcome.failures

# %%
measured = Run.load("runs/notebook")
measured

# %% [markdown]
# All numbers are one tidy table, with a row for each, and so is what was written and published.

# %%
last = measured.records.query("metric == 'loss' and generation == 6")
last.pivot_table(index=["alpha", "model"], columns="task", values="value", aggfunc=["mean", "sem"])

# %%
cell = measured.cells.loc[measured.cells["point"] == 1, "cell"].iloc[0]
measured.pool(cell, generation=6).head()

# %%
figure, axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
figures.loss_curve(measured, model="warm", task="cold", ax=axes[0, 0])
figures.similarity_curve(measured, task="public", ax=axes[0, 1])
figures.loss_matrix(measured, where={"alpha": 0.5}, ax=axes[1, 0])
figures.mixture_shares(measured, model="warm", where={"alpha": 0.5}, ax=axes[1, 1])
figure.savefig("run.png", dpi=150)
