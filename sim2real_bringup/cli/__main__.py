"""``python -m sim2real_bringup.cli``."""

import sys

from sim2real_bringup.cli import main

sys.exit(main())
