"""Runs a policy on a robot: bundle, runtime, observation, guard, control cycle, node."""
