"""`python -m moleflow_lib`."""

import sys

from moleflow_lib.cli import main

sys.exit(main())
