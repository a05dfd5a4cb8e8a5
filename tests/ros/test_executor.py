"""Slow callbacks hold nobody up, quick ones run one at a time, errors end nothing."""

import gc
import threading
import time

import pytest
from graph import a_node
from rcl_interfaces.srv import SetParameters
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.parameter import Parameter
from std_msgs.msg import String

from da3_ros.ros.executor import NodeExecutor

node = pytest.fixture(a_node)


@pytest.fixture
def errors():
    return []


@pytest.fixture
def executor(node, errors):
    executor = NodeExecutor(errors.append, context=node.context)
    executor.add_node(node)
    yield executor
    executor.finish(1.0)


def spin_until(executor, condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        executor.spin_once(timeout_sec=0.05)


def once(node, work, group=None):
    """A timer that calls `work` one time."""

    def call():
        timer.cancel()
        work()

    timer = node.create_timer(0.01, call, callback_group=group)


def test_slow_callbacks_hold_nobody_up(node, executor):
    go_on, ended, quick = threading.Event(), [], []

    def slow():
        assert go_on.wait(20)
        ended.append(threading.get_ident())

    group = ReentrantCallbackGroup()
    for _ in range(5):
        once(node, slow, group)
    node.create_timer(0.01, lambda: quick.append(threading.get_ident()))
    spin_until(executor, lambda: len(quick) > 20)
    assert not ended
    go_on.set()
    spin_until(executor, lambda: len(ended) == 5)
    assert set(quick) == {threading.get_ident()}
    assert len(set(ended)) == 5 and threading.get_ident() not in ended


def test_every_message_is_heard_in_order(node, executor):
    heard = []
    node.create_subscription(String, "words", lambda msg: heard.append(msg.data), 100)
    publisher = node.create_publisher(String, "words", 100)
    spin_until(executor, publisher.get_subscription_count)
    sent = [str(i) for i in range(50)]
    for word in sent:
        publisher.publish(String(data=word))
    spin_until(executor, lambda: len(heard) == 50)
    assert heard == sent


def test_a_request_of_many_parts_is_read_without_looking_for_garbage(node, executor):
    collected, parts = [], []

    def answer(request, response):
        parts.append(len(request.parameters))
        return response

    node.create_service(SetParameters, "many", answer)
    client = node.create_client(SetParameters, "many")
    size = Parameter("window.size", value=3).to_parameter_msg()
    request = SetParameters.Request(parameters=[size] * 20_000)
    spin_until(executor, client.service_is_ready)

    def note(phase, _):
        collected.append(phase)

    gc.callbacks.append(note)
    try:
        client.call_async(request)
        spin_until(executor, lambda: parts)
    finally:
        gc.callbacks.remove(note)
    assert parts == [20_000] and len(collected) < 40 and gc.isenabled()


def test_errors_are_told_from_both_kinds(node, executor, errors):
    def fail():
        raise KeyError("mistake")

    once(node, fail)
    once(node, fail, ReentrantCallbackGroup())
    spin_until(executor, lambda: len(errors) == 2)
    assert all(isinstance(error, KeyError) for error in errors)


@pytest.mark.parametrize("patience, is_waited_for", [(0.05, False), (20.0, True)])
def test_the_end_waits_for_slow_callbacks_only_so_long(node, executor, patience, is_waited_for):
    began, go_on, ended = (threading.Event() for _ in range(3))

    def slow():
        began.set()
        go_on.wait(20)
        ended.set()

    once(node, slow, ReentrantCallbackGroup())
    spin_until(executor, began.is_set)
    if is_waited_for:
        threading.Timer(0.2, go_on.set).start()
    executor.finish(patience)
    assert ended.is_set() == is_waited_for
    go_on.set()


def test_a_task_of_the_users_runs_where_it_spins(executor):
    where = []
    executor.create_task(lambda: where.append(threading.get_ident()))
    spin_until(executor, lambda: where)
    assert where == [threading.get_ident()]


@pytest.mark.parametrize("patience, is_waited_for", [(0.2, False), (20.0, True)])
def test_a_quick_callback_may_wait_for_the_slow_ones(node, executor, patience, is_waited_for):
    began, go_on, waited, others = threading.Event(), threading.Event(), [], []

    def slow():
        began.set()
        assert go_on.wait(20)

    def wait():
        node.create_timer(0.01, lambda: others.append(not waited))
        if is_waited_for:
            executor.create_task(go_on.set)
        waited.append(executor.run_until(lambda: not executor.is_busy, patience))

    once(node, slow, ReentrantCallbackGroup())
    spin_until(executor, began.is_set)
    assert executor.is_busy
    once(node, wait)
    spin_until(executor, lambda: others)
    assert waited == [is_waited_for] and not any(others)
    go_on.set()
