"""How long a policy takes here: raw network, runtime, whole control cycle."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sim2real_core.profile import RobotProfile
from sim2real_policy.bundle import Bundle, open_session
from sim2real_policy.config import PolicyConfig
from sim2real_policy.controller import Controller
from sim2real_policy.controller_parts import tool_position
from sim2real_policy.parity import random_inputs
from sim2real_policy.runtime import OnnxRuntime, Runtime
from sim2real_policy.runtimes import percentiles

Clock = Callable[[], float]
OVERHEAD = 20e-6  # bar on what the runtime adds to ONNX Runtime's own run [s]
BLOCK = 100  # calls of one side before it is the other's turn
SEED = 2


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


def cycles(
    bundle: Bundle,
    profile: RobotProfile,
    runtime: Runtime,
    calls: int = 5000,
    clock: Clock = time.perf_counter,
) -> dict[str, Any]:
    """Whole control cycles: joint states near the default pose in, guarded commands out.

    Returns:
        Percentiles [s] of ``assemble``, ``infer``, ``guard`` and of the ``total``, and ``missed``,
        the share of cycles that took longer than the control period.
    """
    meta = bundle.meta
    settings = PolicyConfig(start_speed=0.0, novelty_time=0.0, stale_after=10.0)
    tool = tool_position(meta, profile)
    controller = Controller(meta, profile, runtime, settings, tool, clock)
    controller.goal(np.array([0.4, 0.0, 0.4]))
    rng, rest = np.random.default_rng(SEED), np.array(meta.default_position)
    stages, total = controller.stages, np.empty(calls)
    for call in range(calls):
        stamp = (call + 1) * meta.control_period
        controller.inputs['position'][0] = rest + rng.normal(0.0, 1e-3, rest.size)
        for source in controller.sources:
            controller.sense(source, stamp, {})
        start = clock()
        stages.begin(start)
        if controller.sample(stamp, start):
            controller.act()
        stages.close()
        total[call] = clock() - start
    return {
        **{
            name: {'p50': one.quantile(0.5), 'p99': one.quantile(0.99), 'max': one.longest}
            for name, one in stages.of.items()
            if name != 'publish'  # nothing is published here
        },
        'total': percentiles(total),
        'missed': float(np.mean(total > meta.control_period)),
    }
