"""How long a policy takes here: raw network, runtime, whole control cycle."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sim2real_policy.bundle import Bundle, open_session
from sim2real_policy.parity import random_inputs
from sim2real_policy.runtime import OnnxRuntime

Clock = Callable[[], float]
BLOCK = 100  # calls of one side before it is the other's turn
SEED = 2


def percentiles(taken: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    """``p50``, ``p99`` and ``max`` of durations [s]."""
    p50, p99 = np.percentile(taken, (50, 99))
    return {'p50': float(p50), 'p99': float(p99), 'max': float(taken.max())}


def overhead(
    bundle: Bundle, calls: int = 5000, clock: Clock = time.perf_counter
) -> dict[str, Any]:
    """What the runtime adds to ONNX Runtime's own ``run`` on the same model and inputs [s].

    Both take turns, a block of calls each, so that what else the machine does hits both; the
    overhead is the median over the blocks of the difference of their medians.

    Returns:
        ``raw`` and ``runtime`` (percentiles [s] over all calls) and ``overhead`` [s].
    """
    session, runtime = open_session(bundle.model, str(bundle.path)), OnnxRuntime(bundle)
    ends = bundle.ends
    zeros = {name: array for name, array in ends.zeros().items() if name != ends.observation}
    inputs = list(random_inputs(bundle, BLOCK, np.random.default_rng(SEED)))
    raw_inputs = [{**zeros, **images, ends.observation: row} for row, images in inputs]
    names = list(ends.outputs)
    raw, own = [], []
    for _ in range(max(1, calls // BLOCK)):
        times = np.empty(BLOCK)
        for index, feed in enumerate(raw_inputs):
            start = clock()
            session.run(names, feed)
            times[index] = clock() - start
        raw.append(times)
        times = np.empty(BLOCK)
        for index, (row, images) in enumerate(inputs):
            start = clock()
            runtime.infer(row, images)
            times[index] = clock() - start
        own.append(times)
    difference = np.median(np.median(own, axis=1) - np.median(raw, axis=1))
    return {
        'raw': percentiles(np.concatenate(raw)),
        'runtime': percentiles(np.concatenate(own)),
        'overhead': float(difference),
    }
