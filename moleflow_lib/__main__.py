"""`python -m moleflow_lib`."""

import sys

from moleflow_lib.stopping import quit_at_once, stop_like_ctrl_c

if __name__ == "__main__":
    quit_at_once()  # imports take seconds
    from moleflow_lib.cli import main

    stop_like_ctrl_c()
    sys.exit(main())
