"""Worlds: the Simulator protocol, the embedded MuJoCo simulator, its realism, its node."""
