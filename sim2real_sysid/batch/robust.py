"""CMA-ES over rollouts: slower than Gauss-Newton, and not misled by rough or many valleys.

The search is that of Hansen (2016), by the library ``cma``, in standard deviations of the least
squares estimate. What it minimizes are absolute errors, which stray simulations disturb little.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sim2real_core.errors import MissingError
from sim2real_sysid.batch.fitted import Fitted
from sim2real_sysid.batch.output_error import OutputError, Point, Progress, finished

SPREAD = 1.0  # first standard deviation of the search, in those of least squares


def evolve(problem: OutputError, evaluations: int, seed: int, progress: Progress) -> Fitted:
    """Search from where least squares ended.

    Args:
        problem: the training data.
        evaluations: most parameter vectors that are simulated.
        seed: of the search.
        progress: told the share done, and what to say.

    Raises:
        MissingError: ``cma`` is not installed.
    """
    try:
        import cma
    except ImportError as error:
        raise MissingError("CMA-ES needs cma: pip install 'sim2real[sysid]'") from error
    prior, free = problem.prior, problem.free
    if not len(free):
        return replace(prior, method='cma')
    scale = prior.std[free]
    sizes = problem.sizes(problem.points(prior.mean[None])[0])

    def points(steps: Any) -> list[Point]:
        thetas = np.tile(prior.mean, (len(steps), 1))
        thetas[:, free] += np.asarray(steps) * scale
        return problem.points(thetas)

    def cost(point: Point, step: Any) -> float:
        samples = float(problem.count.sum()) * len(sizes)
        error = float(np.abs(point.residual / sizes).sum()) / samples
        away = np.asarray(step) * scale
        return error + 0.5 * float(away @ problem.precision @ away) / samples

    settings = {'seed': seed + 1, 'verbose': -9, 'maxfevals': evaluations, 'tolfun': 1e-5}
    search = cma.CMAEvolutionStrategy(np.zeros(len(free)), SPREAD, settings)
    while not search.stop():
        steps = search.ask()
        search.tell(steps, [cost(*pair) for pair in zip(points(steps), steps)])
        progress(min(search.countevals / evaluations, 1.0), f'absolute error {search.best.f:.4g}')
    return finished(problem, points([search.result.xfavorite])[0], 'cma')
