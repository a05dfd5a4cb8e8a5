"""One thread for who asks; all others keep theirs."""

import threading

import torch

from da3_ros.core.scene.one_thread import one_thread


def in_a_new_thread(function):
    """What it returns there."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def threads_of_a_new_one():
    torch.ones(10).sum()
    return torch.get_num_threads()


def test_the_others_keep_theirs():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
            assert in_a_new_thread(threads_of_a_new_one) == 2
            with one_thread():
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        assert in_a_new_thread(threads_of_a_new_one) == 2
    finally:
        torch.set_num_threads(before)


def test_two_that_overlap_leave_all_threads_behind():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            inner = one_thread()

            def enter_and_leave():
                with inner:
                    assert torch.get_num_threads() == 1
                return torch.get_num_threads()

            assert in_a_new_thread(enter_and_leave) == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
