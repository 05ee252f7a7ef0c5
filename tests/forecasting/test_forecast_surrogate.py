"""The surrogate against its equations, one number at a time, and what it must not depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossfeed.forecasting.parameters import layout_of
from crossfeed.forecasting.surrogate import ENDS, INITIAL_ENDS, Surrogate
from tests.forecasting.ecologies import cell, first_losses, random_cell, random_ecology, random_parameters


class Naive:
    """The surrogate of one set of parameters, in loops over models, tasks and modes."""

    def __init__(self, ecology, layout, parameters):
        self.ecology, self.rates = ecology, layout.rates
        named = {name: array[0] for name, array in layout.named(parameters[None]).items()}
        if "b" not in named:
            named["b"] = np.array([[a * mode for mode in named["modes"]] for a in named["amplitude"]])
        self.named, self.ceiling = named, layout.ceiling
        self.relative = [rate / layout.rates[-1] for rate in layout.rates]
        self.Q, self.D = ecology.tasks, len(layout.rates)

    def phi(self, i):
        return self.relative[i] ** self.named["zeta"]

    def r(self, c, s, i):
        crossed = sum(self.named["kappa"][s, m] * c[m][i] for m in range(self.Q) if m != s)
        return c[s][i] + self.phi(i) * crossed - self.named["b"][s, i]

    def excess(self, c, v, s):
        return sum(self.r(c, s, i) ** 2 for i in range(self.D)) + v[s][0] + v[s][1]

    def loss(self, c, v, s):
        return self.named["floor"][s] + self.excess(c, v, s)

    def published(self, model, j):
        """The author's r and v of its own task."""
        c, v = model
        task = self.ecology.own[j]
        return [self.r(c, task, i) for i in range(self.D)], v[task]

    def shares(self, real, synthetic):
        own, tokens = self.ecology.own, self.ecology.tokens
        total = sum(real[s] * tokens[s] for s in range(self.Q))
        total += sum(synthetic[j] * tokens[task] for j, task in enumerate(own))
        W_authors = [synthetic[j] * tokens[task] / total for j, task in enumerate(own)]
        W = [real[s] * tokens[s] / total for s in range(self.Q)]
        for j, task in enumerate(own):
            W[task] += W_authors[j]
        return W, W_authors

    def trained(self, model, real, synthetic, teachers, steps, ends):
        """The model after a generation, and ``(S, Q)`` losses at the ends of the substeps."""
        (c, v), named = model, self.named
        W, W_authors = self.shares(real, synthetic)
        losses, begin, total = [], 0.0, 0.0
        for end in ends:
            h = (end - begin) * steps
            E = [self.excess(c, v, s) for s in range(self.Q)]
            squares = sum(W[s] * (named["floor"][s] + named["g"] * E[s]) for s in range(self.Q))
            total += squares * (end - begin)
            eta = (total / end) ** -0.5
            left = [max(0.0, 1 - E[s] / (self.ceiling[s] - named["floor"][s])) for s in range(self.Q)]
            c, v = (
                [
                    [self._c(c, m, i, W, W_authors, teachers, left, h, eta) for i in range(self.D)]
                    for m in range(self.Q)
                ],
                [self._v(v, s, W, W_authors, teachers, left, h, eta) for s in range(self.Q)],
            )
            losses.append([self.loss(c, v, s) for s in range(self.Q)])
            begin = end
        return (c, v), losses

    def _pulled(self, c, s, i, W, W_authors, teachers):
        pull = sum(W_authors[j] * teachers[j][0][i] for j, task in enumerate(self.ecology.own) if task == s)
        return W[s] * self.r(c, s, i) - pull

    def _c(self, c, m, i, W, W_authors, teachers, left, h, eta):
        kappa, rate = self.named["kappa"], self.rates[i] * self.named["rate"]
        others = [s for s in range(self.Q) if s != m]
        gradient = self._pulled(c, m, i, W, W_authors, teachers)
        gradient += self.phi(i) * sum(kappa[s, m] * self._pulled(c, s, i, W, W_authors, teachers) for s in others)
        stiffness = W[m] + self.phi(i) ** 2 * sum(kappa[s, m] ** 2 * W[s] for s in others)
        drift = (1 - W[m]) * self.named["rho"][m] / self.ecology.steps
        drift *= self.relative[i] ** self.named["psi"] * left[m]
        return c[m][i] - h * (eta * rate * gradient + drift) / (1 + h * eta * rate * stiffness)

    def _v(self, v, s, W, W_authors, teachers, left, h, eta):
        """What is made good at once, with the noise of sampling, and what is made good slowly."""
        named, authors = self.named, [j for j, task in enumerate(self.ecology.own) if task == s]
        steady = h * (1 - W[s]) * named["d"][s] / self.ecology.steps * left[s]
        after = []
        for a, (rate, share) in enumerate([(1.0, 1 - named["slow"]), (named["slowness"], named["slow"])]):
            relaxation = h * eta * named["l"] * rate / self.ecology.steps
            pull = sum(W_authors[j] * (teachers[j][1][a] + (named["q"][j] if a == 0 else 0.0)) for j in authors)
            after.append((v[s][a] + share * steady + relaxation * pull) / (1 + relaxation * W[s]))
        return tuple(after)

    def initial(self):
        nothing = [([0.0] * self.D, (0.0, 0.0))] * self.ecology.entities
        none = [0.0] * self.ecology.entities
        base = [[0.0] * self.D for _ in range(self.Q)], [(0.0, 0.0)] * self.Q
        return [
            self.trained(base, self.ecology.initial[k], none, nothing, self.ecology.initial_steps[k], INITIAL_ENDS)
            for k in range(self.ecology.entities)
        ]

    def continued(self, conditions):
        """``(S, K, Q)`` losses of every generation of a cell."""
        models = [model for model, _ in self.initial()]
        history, generations = [], []
        for t in range(conditions.generations):
            history.append([self.published(model, j) for j, model in enumerate(models)])
            kept = history if conditions.accumulates else history[-1:]
            teachers = [
                (
                    [sum(pool[j][0][i] for pool in kept) / len(kept) for i in range(self.D)],
                    [sum(pool[j][1][a] for pool in kept) / len(kept) for a in (0, 1)],
                )
                for j in range(len(models))
            ]
            after = [
                self.trained(
                    model, conditions.real[t, k], conditions.synthetic[t, k], teachers, conditions.steps[t, k], ENDS
                )
                for k, model in enumerate(models)
            ]
            models = [model for model, _ in after]
            generations.append(np.swapaxes([losses for _, losses in after], 0, 1))
        return generations


def all_of(surrogate, parameters, cells):
    """``(P, S, K, Q)`` losses of every generation of every cell."""
    start = surrogate.initial(parameters)
    of_cells = [[] for _ in cells]
    for places, losses in surrogate.continued(parameters, start, cells):
        for at, place in enumerate(places):
            of_cells[place].append(losses[:, :, at])
    return of_cells


def drawn(seed, K, sets=2, unowned=True):
    rng = np.random.default_rng(seed)
    ecology = random_ecology(rng, K, unowned)
    layout = layout_of(ecology, first_losses(rng, ecology))
    return rng, ecology, layout, random_parameters(rng, layout, sets=sets)


@pytest.mark.parametrize(("K", "unowned"), [(2, True), (3, True), (3, False), (5, False)])
def test_it_is_its_equations(K, unowned):
    """Cells of different lengths in one call, with and without older pools."""
    rng, ecology, layout, parameters = drawn(K, K, sets=1 if K == 5 else 2, unowned=unowned)
    cells = [random_cell(rng, ecology, T, accumulates) for T, accumulates in ((2, False), (1, False), (3, True))]
    surrogate = Surrogate(ecology, layout)
    losses, base = all_of(surrogate, parameters, cells), surrogate.base(parameters)
    for p, own in enumerate(parameters):
        naive = Naive(ecology, layout, own)
        expected = np.swapaxes([each for _, each in naive.initial()], 0, 1)
        np.testing.assert_allclose(surrogate.initial(parameters).losses[p], expected, rtol=1e-12)
        none = [[0.0] * naive.D] * naive.Q, [(0.0, 0.0)] * naive.Q
        np.testing.assert_allclose(base[p], [naive.loss(*none, s) for s in range(naive.Q)], rtol=1e-12)
        for each, conditions in zip(losses, cells, strict=True):
            assert len(each) == conditions.generations
            for found, twin in zip(each, naive.continued(conditions), strict=True):
                np.testing.assert_allclose(found[p], twin, rtol=1e-12)


def test_losses_end_at_a_guess():
    """Tasks that are never trained on again are forgotten more and more slowly, up to the loss of a uniform guess."""
    _, ecology, layout, _ = drawn(4, 2)
    parameters = layout.expected.copy()
    parameters[entries_of(layout, "d")] = np.log(2.0)
    (losses,) = all_of(Surrogate(ecology, layout), parameters[None], [cell(ecology, 0, 0, 30)])
    own = np.stack(losses)[:, 0, -1][:, np.arange(2), ecology.own]
    assert (np.diff(own, axis=0) > 0).all()
    assert (np.diff(own, n=2, axis=0)[1:] < 0).all()
    np.testing.assert_allclose(own[-1], layout.ceiling[ecology.own], rtol=0.01)


def test_a_cell_does_not_depend_on_the_others():
    rng, ecology, layout, parameters = drawn(0, 3)
    cells = [random_cell(rng, ecology, 1 + at % 3, accumulates=at % 2 == 0) for at in range(7)]
    surrogate = Surrogate(ecology, layout)
    together = all_of(surrogate, parameters, cells)
    for place, conditions in enumerate(cells):
        (alone,) = all_of(surrogate, parameters, [conditions])
        np.testing.assert_allclose(together[place], alone, rtol=1e-13)


def test_a_set_of_parameters_does_not_depend_on_the_others():
    rng, ecology, layout, parameters = drawn(1, 2, sets=3)
    cells, surrogate = [random_cell(rng, ecology, 2)], Surrogate(ecology, layout)
    together = np.array(all_of(surrogate, parameters, cells))
    for p in range(3):
        alone = np.array(all_of(surrogate, parameters[p : p + 1], cells))
        np.testing.assert_allclose(together[:, :, p], alone[:, :, 0], rtol=1e-13)


def test_the_order_of_entities_does_not_matter():
    rng, ecology, layout, parameters = drawn(2, 3)
    order = np.array([2, 0, 1])
    other = replace(
        ecology,
        own=ecology.own[order],
        base=ecology.base[order],
        initial=ecology.initial[order],
        initial_steps=ecology.initial_steps[order],
    )
    noise = entries_of(layout, "q")
    permuted = parameters.copy()
    permuted[:, noise] = parameters[:, noise[order]]
    conditions = random_cell(rng, ecology, 3)
    of_other = replace(
        conditions,
        real=conditions.real[:, order],
        synthetic=conditions.synthetic[:, order][:, :, order],
        steps=conditions.steps[:, order],
    )
    (losses,) = all_of(Surrogate(ecology, layout), parameters, [conditions])
    (of_others,) = all_of(Surrogate(other, layout), permuted, [of_other])
    np.testing.assert_allclose(of_others, np.array(losses)[:, :, :, order], rtol=1e-12)


def entries_of(layout, name):
    """Positions of the parameters that a named array is made of, in its order; numbers that are always 0 have none."""
    step = 1e-3 * np.eye(len(layout))
    changed = layout.named(layout.expected + step)[name] != layout.named(layout.expected[None])[name]
    return np.array([int(np.flatnonzero(changed[:, at])[0]) for at in np.flatnonzero(changed.any(axis=0))])


def test_noise_of_sampling_accumulates_where_nothing_is_real():
    """What one generation of sampling costs is passed on: with alpha = 1 the loss of own tasks grows on and on."""
    _, ecology, layout, _ = drawn(3, 2)
    (losses,) = all_of(Surrogate(ecology, layout), layout.expected[None], [cell(ecology, 1, 0.5, 8)])
    own = np.stack(losses)[:, 0, -1][:, np.arange(2), ecology.own].mean(axis=1)
    assert (np.diff(own)[2:] > 0).all()
