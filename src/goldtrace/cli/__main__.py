"""``python -m goldtrace.cli``: the command under a chosen interpreter."""

from goldtrace.cli import main

raise SystemExit(main())
