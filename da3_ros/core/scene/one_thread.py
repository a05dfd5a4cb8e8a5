"""Small tensor operations without a second thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on the calling thread alone; the others keep theirs.

    For many operations of microseconds each: on a busy machine, waiting for a second thread
    after each of them took ten times longer than the work.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    # That was for this thread, and for all whose first operation is still to come: a network
    # that starts meanwhile would have one thread for ever. Another thread takes this part back.
    helper = threading.Thread(target=torch.set_num_threads, args=(threads,))
    helper.start()
    helper.join()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
