"""``python -m goldtrace.isolation FD``: the child's end of the channel is an open descriptor."""

from __future__ import annotations

import sys

from goldtrace.isolation.child import main

if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
