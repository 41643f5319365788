"""A lock among processes, where the file system has one."""

from __future__ import annotations

import errno
import fcntl

_LACKING = (errno.ENOLCK, errno.EBADF, errno.EOPNOTSUPP, errno.ENOSYS)


def lock(descriptor: int, kind: int) -> None:
    """Lock an open file or directory until it is closed, as ``fcntl.flock`` with ``kind``.

    Network file systems may lack locks: there everybody gets it.

    Raises:
        BlockingIOError: somebody else has it, and ``kind`` is not to wait.
    """
    try:
        fcntl.flock(descriptor, kind)
    except OSError as error:
        if error.errno not in _LACKING:
            raise
