"""A disk that is full, in words."""

from __future__ import annotations

import errno

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def in_words(error: Exception, what: str, where: object) -> str:
    """An error in one sentence; of a full disk, which alone says neither where nor what to do.

    what: did not fit, in the plural. where: the folder.
    """
    if isinstance(error, OSError) and error.errno in FULL:
        return f"{what} do not fit ({error.strerror}): make room below {where}"
    return str(error) or type(error).__name__
