"""``python -m trafficgym`` is the ``trafficgym`` command."""

import sys

from trafficgym.cli.main import main

sys.exit(main())
