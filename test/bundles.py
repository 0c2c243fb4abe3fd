"""Policies of random weights."""

import numpy as np
import pytest

from sim2real_core.profile import load_profile


def random_slider(path):
    """A bundle for the slider that acts on its own joints alone; its path as a text."""
    pytest.importorskip('onnx')
    from sim2real_policy.action import Action
    from sim2real_policy.bundle import BundleMetadata
    from sim2real_policy.observation import Term
    from sim2real_policy.random_policy import random_policy

    profile = load_profile('slider')
    terms = [Term(kind='joint_position'), Term(kind='joint_velocity')]
    action = Action(meaning='position', scale=(0.01,), offset=(0.0,), clip=1.0)
    meta = BundleMetadata.for_robot(profile, terms, action, control_period=0.02)
    random_policy(meta, path, np.random.default_rng(0))
    return str(path)
