"""Simulation-based inference: a posterior from simulations alone, by the library ``sbi``.

Parameters are drawn about what least squares found, simulated, and told by statistics: the
residuals projected on their derivatives, which for small deviations say all that the outputs do. A
neural network learns the posterior for these statistics (Greenberg, Nonnenmacher, Macke 2019) and
is asked for that of the measured ones.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import MissingError
from sim2real_sysid.batch.fitted import Fitted
from sim2real_sysid.batch.output_error import OutputError, Progress, refine

Array = npt.NDArray[np.float64]

WIDE = 4.0  # half-width of the prior, in standard deviations of the estimate it is about
BATCH = 64
SAMPLES = 4000  # of the posterior


def simulation_based(
    problem: OutputError, simulations: int, seed: int, progress: Progress
) -> Fitted:
    """A posterior about where output error ended.

    Args:
        problem: the training data.
        simulations: parameter vectors that are simulated.
        seed: of what is drawn.
        progress: told the share done, and what to say.

    Raises:
        MissingError: ``sbi`` is not installed.
    """
    try:
        import torch
        from sbi.inference import NPE
        from sbi.utils import BoxUniform
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingError(
            "simulation-based inference needs sbi: pip install 'sim2real[sbi]'"
        ) from error
    about = refine(problem, 4, lambda share, words: progress(0.2 * share, words))
    free = problem.free
    if not len(free):
        return replace(about, method='sbi')
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    centre = problem.points(about.mean[None])[0]
    sizes = problem.sizes(centre)
    slope = problem.sensitivity(centre)  # (p, C, n, m)
    weights = slope / sizes**2
    scale = WIDE * about.std[free]

    def statistics(residual: Array) -> Array:
        return np.einsum('pcnm,cnm->p', weights, residual)

    # What the simulation leaves out: the residuals themselves, shifted about in time.
    left = centre.residual
    drawn: list[Array] = []
    told: list[Array] = []
    while len(drawn) < simulations:
        steps = rng.uniform(-1.0, 1.0, (min(BATCH, simulations - len(drawn)), len(free)))
        thetas = np.tile(about.mean, (len(steps), 1))
        thetas[:, free] += steps * scale
        for step, point in zip(steps, problem.points(thetas)):
            noise = np.roll(left, int(rng.integers(left.shape[1])), axis=1)
            noise = noise * rng.choice([-1.0, 1.0])
            drawn.append(step)
            told.append(statistics(point.residual - centre.residual + noise))
        progress(0.2 + 0.6 * len(drawn) / simulations, f'{len(drawn)} simulations')
    size = np.std(told, axis=0)
    box = BoxUniform(-torch.ones(len(free)), torch.ones(len(free)))
    with tempfile.TemporaryDirectory() as folder:  # else it logs where one happens to be
        writer = SummaryWriter(folder)
        inference = NPE(prior=box, show_progress_bars=False, summary_writer=writer)
        inference.append_simulations(
            torch.as_tensor(np.array(drawn), dtype=torch.float32),
            torch.as_tensor(np.array(told) / size, dtype=torch.float32),
        ).train()
        writer.close()
    posterior = inference.build_posterior()
    measured = torch.as_tensor(statistics(centre.residual) * 0.0 / size, dtype=torch.float32)
    samples = posterior.sample((SAMPLES,), x=measured, show_progress_bars=False).numpy()
    mean, covariance = about.mean.copy(), about.covariance.copy()
    mean[free] += samples.mean(axis=0) * scale
    covariance[np.ix_(free, free)] = np.cov(samples.T).reshape(len(free), -1) * np.outer(
        scale, scale
    )
    progress(1.0, 'done')
    return replace(about, mean=mean, covariance=covariance, method='sbi')
