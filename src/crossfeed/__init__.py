"""crossfeed: ecosystems of generative models that train on each other's outputs.

Describe an ecosystem once (`Ecosystem`, `Experiment`), predict it exactly (`crossfeed.theory`), run it for real
(`run`), and lay the two side by side. Names are loaded when first used, so that ``import crossfeed`` costs
nothing and never pulls in torch.
"""
