"""A disk that is full, in words."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def in_words(error: Exception, what: str, where: object) -> str:
    """An error in one sentence; of a full disk, which alone says neither where nor what to do.

    what: did not fit, in the plural. where: the folder.
    """
    if isinstance(error, OSError) and error.errno in FULL:
        return f"{what} do not fit ({error.strerror}): make room below {where}"
    return str(error) or type(error).__name__


@contextmanager
def named_if_full(what: str, where: object) -> Iterator[None]:
    """An error of a full disk says what does not fit and where; others pass. See `in_words`."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise OSError(error.errno, in_words(error, what, where)) from error
