"""What varies: distributions, spaces, keyed draws, narrowing, apply-and-verify."""
