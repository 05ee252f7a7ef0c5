"""An experiment in the terms of the theory, which answers: what will come of it, and which weights are best?"""
