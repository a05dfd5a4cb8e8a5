"""Image and camera info meet by stamp; every image comes back exactly once."""

from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, Image

from da3_ros.ros.inputs.pairing import Pairing


def stamped(kind, stamp):
    msg = kind()
    msg.header.stamp.nanosec = stamp
    return msg


def image(stamp):
    return stamped(Image, stamp)


def info(stamp):
    return stamped(CameraInfo, stamp)


def test_either_may_come_first():
    pairing = Pairing(4)
    assert pairing.add_image(image(1), 0.0) == (None, [])
    pair, lost = pairing.add_info(info(1))
    assert (pair.stamp_ns, lost) == (1, [])
    assert pairing.add_info(info(2)) == (None, [])
    pair, lost = pairing.add_image(image(2), 0.0)
    assert (pair.image.header.stamp, pair.info.header.stamp) == (image(2).header.stamp,) * 2


def test_near_stamps_are_not_equal():
    pairing = Pairing(4)
    pairing.add_image(image(1), 0.0)
    assert pairing.add_info(info(2)) == (None, [])


def test_a_pair_gives_up_older_images():
    pairing = Pairing(4)
    for stamp in (1, 2, 3):
        pairing.add_image(image(stamp), 0.0)
    pair, lost = pairing.add_info(info(3))
    assert pair.stamp_ns == 3
    assert [m.header.stamp.nanosec for m in lost] == [1, 2]


def test_queue_is_bounded():
    pairing = Pairing(2)
    lost = [m for stamp in range(5) for m in pairing.add_image(image(stamp), 0.0)[1]]
    assert [m.header.stamp.nanosec for m in lost] == [0, 1, 2]


def test_waiting_ends():
    pairing = Pairing(9)
    pairing.add_image(image(1), 10.0)
    pairing.add_image(image(2), 10.9)
    assert [m.header.stamp.nanosec for m in pairing.expire(11.5, 1.0)] == [1]
    assert [m.header.stamp.nanosec for m in pairing.clear()] == [2]
    assert pairing.add_info(info(2)) == (None, [])


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("image"), st.integers(0, 8)),
            st.tuples(st.just("info"), st.integers(0, 8)),
            st.just(("expire", 0)),
        ),
        max_size=60,
    ),
    st.integers(1, 4),
)
def test_every_image_comes_back_exactly_once(events, queue_size):
    pairing, sent, back, waiting = Pairing(queue_size), 0, 0, set()
    for now, (what, stamp) in enumerate(events):
        if what == "expire":
            gone, pair = pairing.expire(now, 3.0), None
        elif what == "info":
            pair, gone = pairing.add_info(info(stamp))
        elif stamp in waiting:  # the ledger refuses equal stamps before they come here
            continue
        else:
            sent += 1
            waiting.add(stamp)
            pair, gone = pairing.add_image(image(stamp), float(now))
        returned = gone + ([pair.image] if pair else [])
        back += len(returned)
        waiting -= {m.header.stamp.nanosec for m in returned}
        assert len(waiting) <= queue_size
    assert back + len(pairing.clear()) == sent
