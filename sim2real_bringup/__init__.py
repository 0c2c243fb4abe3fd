"""The front door: stacks, launch helpers, runner, bags, replay, markers and the command line."""
