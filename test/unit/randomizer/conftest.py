"""Properties are tried on the same examples in every run, and nothing is left behind."""

from hypothesis import settings

settings.register_profile('same', derandomize=True, database=None, deadline=None, max_examples=60)
settings.load_profile('same')
