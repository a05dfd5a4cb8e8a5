"""Whether every image of a bag can be processed: the other checks look at its beginning only."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from da3_ros.core.config import Config
from da3_ros.ros.bags.bag import BagReader
from da3_ros.ros.bags.bag_poses import BagPoses
from da3_ros.ros.doctor.findings import Finding, ok, warn
from da3_ros.ros.doctor.recording import Recording
from da3_ros.ros.health.time_jump import StampVerdict, StreamClock
from da3_ros.ros.inputs.camera_input import header_fault
from da3_ros.ros.inputs.tf_buffer import TransformUnavailable
from da3_ros.ros.messages import read_header
from da3_ros.ros.topics.find_camera import BagTopics, Choice, find_topics


def check_files(seen: Recording) -> list[Finding]:
    """What is odd about the files of a bag."""
    return [warn("files", note, "da3_process reads the rest of the bag") for note in seen.notes]


def check_frames(path: str | Path, choice: Choice, config: Config) -> Finding:
    """Images without a camera info or a pose, in the whole bag. Raises `TopicError`."""
    with BagReader(path) as bag, BagReader(path) as pose_bag:
        known = len(bag.notes)
        topics = find_topics(bag, choice)
        world = topics.world_of(config.pose.source) or config.pose.world_frame
        pose = replace(config.pose, world_frame=world)
        ahead_ns = round(1e9 * config.pose.timeout)
        poses = BagPoses(pose_bag, pose, topics.tf, odometry=choice.odometry, ahead_ns=ahead_ns)
        lost, count = _count_lost(bag, topics, poses)
        damage = bag.notes[known:]
    if damage:
        return warn("frames", "; ".join(damage), "da3_process reads around what is damaged")
    if not lost:
        return ok("frames", f"all {count} images of the bag have a camera_info and a pose")
    listed = "; ".join(f"{number} {reason}" for reason, number in lost.most_common(3))
    what = f"{lost.total()} of {count} images of the bag will not be processed: {listed}"
    return warn("frames", what, "record camera_info and TF as long as the images, without loss")


def _count_lost(bag: BagReader, topics: BagTopics, poses: BagPoses) -> tuple[Counter[str], int]:
    """Images that are lost, by reason, and the number of all."""
    no_pose: dict[int, str] = {}
    images, infos, count, lost = set(), set(), 0, Counter()
    clock = StreamClock(poses.known_until_ns)
    connections = [c for c in bag.connections if c.topic in (topics.image, topics.camera_info)]
    for connection, time_ns, raw in bag.raw_messages(connections):
        stamp_ns, frame_id = read_header(raw)
        if connection.topic == topics.camera_info:
            infos.add(stamp_ns)
            continue
        count += 1
        poses.read_until(time_ns)
        if fault := header_fault(frame_id, stamp_ns):
            lost[f"are {fault}"] += 1
            continue
        verdict, _ = clock.judge(stamp_ns)
        if verdict is StampVerdict.OTHER_CLOCK:
            lost["have stamps of another clock"] += 1
            continue
        if verdict is StampVerdict.JUMP:
            poses.start_over()
        clock.follow(stamp_ns)
        images.add(stamp_ns)
        try:
            poses.locate(frame_id, stamp_ns)
        except TransformUnavailable as error:
            no_pose[stamp_ns] = f"have no pose ({error})"
    lost["have no camera_info of their stamp"] = len(images - infos)
    causes = [reason for stamp_ns, reason in no_pose.items() if stamp_ns in infos]
    if causes:
        lost[causes[0]] = len(causes)
    return +lost, count
