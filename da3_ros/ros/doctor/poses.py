"""Checks of TF: there, in time, optical frames, the right way round."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import TransformStamped

from da3_ros.core import poses
from da3_ros.core.config import Config
from da3_ros.core.frame import Frame
from da3_ros.ros.doctor.epipolar import agreement
from da3_ros.ros.doctor.findings import Finding, Verdict, error, ok, warn
from da3_ros.ros.doctor.metres import METRES, check_metres
from da3_ros.ros.doctor.posed_frames import PosedFrames
from da3_ros.ros.doctor.recording import Recording
from da3_ros.ros.inputs.tf_buffer import BadTransform, check_transform
from da3_ros.ros.topics.tf_tree import TfTree, is_static

ENOUGH = 0.95
"""Share of the images whose pose has to be known, and to come in time."""
PAIRS = 6
"""Of pictures, most that are compared."""
BASELINE = 0.05
"""m that the pictures of a pair are apart, at least."""
MOST_TURN = 0.4
"""rad between the pictures of a pair: beyond it little is seen in both."""
CLEARLY = 0.2
"""By how much more of the matches another reading must explain."""

MIX_UPS = {
    "inverted": (
        "the poses are world-to-camera: pictures agree with their inverses",
        "publish camera in world (TF: parent world, child camera), or invert them",
    ),
    "body": (
        "the image's frame has body axes (x forward, z up), not optical ones",
        "give the images an optical frame: a static transform of roll -90, yaw -90 degrees "
        "from camera_link (REP-103)",
    ),
    "turned twice": (
        "the rotation from camera_link to the optical frame is applied twice",
        "the poses are optical already: make camera_link -> camera_optical_frame the identity",
    ),
    "opengl": (
        "the poses have OpenGL axes (y up, z backwards)",
        "turn the camera frame by 180 degrees about its x axis",
    ),
}


def check_poses(seen: Recording, config: Config, given_world: str | None) -> list[Finding]:
    """All checks of this file. given_world: pose.world_frame where the user has set it."""
    if config.pose.source == "none":
        return [ok("tf", "not used: pose.source is none")]
    parents = check_parents(seen)
    if config.pose.source == "odometry":
        what = "not judged: the poses come from odometry"
        return [*parents, warn("tf", what, "see frames, or set pose.source: tf to have TF judged")]
    world = seen.topics.world_frame
    if world is None:
        what = seen.topics.gap or f"no transforms lead to '{seen.topics.frame_id}'"
        fix = "publish or record /tf and /tf_static, or set pose.source: none"
        return [*parents, *check_refused(seen), error("tf", what, fix)]
    seen.locate(world)
    findings = [
        *parents,
        *check_refused(seen),
        check_world(world, given_world, seen.topics.still),
        check_tf(seen, world, config),
    ]
    axes = check_axes(seen, config)
    if axes.verdict is Verdict.ERROR:  # its numbers would name a delay that there is not
        metres = warn(METRES, "not judged: the poses are misread", "see axes")
    else:
        metres = check_metres(seen, config)
    return [*findings, check_static(seen), axes, metres]


def check_parents(seen: Recording) -> list[Finding]:
    """A frame has one parent, and each transform one publisher: else it jumps between them."""
    tree, publishers = TfTree(), {}
    for event in seen.tf_events:
        tree.add(event.msg, static=is_static(event.topic))
        for t in event.msg.transforms:
            edge = t.header.frame_id.lstrip("/"), t.child_frame_id.lstrip("/")
            publishers.setdefault(edge, set()).add(event.publisher or event.topic)
    camera = seen.topics.frame_id.lstrip("/")
    way = [camera, *tree.ancestors(camera)]
    findings = []
    for child, parents in tree.parents.items():
        say = error if child in way else warn
        if len(parents) > 1:
            names = " and ".join(f"'{parent}'" for parent in parents)
            who = " and ".join(", ".join(sorted(publishers[p, child])) for p in parents)
            what = (
                f"'{child}' has more than one parent, {names} (from {who}): it jumps between them"
            )
            fix = "let one of the nodes not publish its transform"
            findings.append(say("tf parents", what, fix))
        elif len(publishers[parents[0], child]) > 1:
            who = " and ".join(sorted(publishers[parents[0], child]))
            what = f"'{parents[0]}' -> '{child}' comes from {who}"
            findings.append(warn("tf parents", what, "let only one of them publish it"))
    return findings


def check_refused(seen: Recording) -> list[Finding]:
    """Transforms that the node does not take."""
    refused = [problem for t in seen.transforms if (problem := _problem(t))]
    if not refused:
        return []
    what = f"{len(refused)} are refused by the node: {refused[0]}"
    return [warn("tf transforms", what, "correct the program that publishes it")]


def _problem(transform: TransformStamped) -> str:
    """What the node refuses it for; empty when it takes it."""
    try:
        check_transform(transform)
    except BadTransform as problem:
        return str(problem)
    return ""


def check_world(world: str, given: str | None, still: str) -> Finding:
    """The parameter names a frame that exists, and that the camera moves in."""
    if still:
        fix = "record the transforms that move it; one that stands still needs a rig"
        return warn("world frame", still, fix)
    if given or world == "odom":
        return ok("world frame", f"'{world}'")
    what = f"there is no frame 'odom', but '{world}'"
    return warn("world frame", what, f"set pose.world_frame: {world}")


def check_tf(seen: Recording, world: str, config: Config) -> Finding:
    """Every image has a pose at its stamp, soon enough."""
    count = len(seen.poses) + len(seen.missing)
    what = f"{len(seen.poses)} of {count} images have a pose in '{world}'"
    if len(seen.poses) < ENOUGH * count:
        reason = next(iter(seen.missing.values()))
        say = warn if len(seen.poses) > 0.5 * count else error
        return say("tf", f"{what}; else {reason}", "publish this transform at the images' stamps")
    late = float(np.quantile([pose.late for pose in seen.poses.values()], ENOUGH))
    if late > config.pose.timeout:
        fix = f"set pose.timeout: {late * 1.5:.1f}, or publish the transform earlier"
        return warn("tf", f"{what}, but 95 % come within {late:.2f} s only", fix)
    return ok("tf", f"{what}, 95 % within {late:.2f} s")


def check_static(seen: Recording) -> Finding:
    """From a camera's body to its optical frame there is the one rotation of REP-103."""
    name, frame = "optical frame", seen.topics.frame_id.lstrip("/")
    mounts = [
        t for t in seen.transforms if t.child_frame_id.lstrip("/") == frame and not _problem(t)
    ]
    if "optical" not in frame:
        fix = "images belong to a frame of x right, y down, z forward, called ..._optical_frame"
        return warn(name, f"'{frame}' is not called optical", f"{fix} (REP-103)")
    if not mounts or not mounts[-1].header.frame_id.endswith("_link"):
        return ok(name, f"'{frame}'")
    q = mounts[-1].transform.rotation
    R = poses.from_quat_xyzw((q.x, q.y, q.z, q.w), np.zeros(3))[:3, :3]
    parent = mounts[-1].header.frame_id
    if poses.rotation_angle(R) < 0.02:
        what = f"'{parent}' -> '{frame}' is not a rotation: one of them is misnamed"
        fix = "see axes; usually roll -90, yaw -90 degrees are missing (REP-103)"
        return warn(name, what, fix)
    angle = np.degrees(poses.rotation_angle(R.T @ poses.T_BODY_OPTICAL[:3, :3]))
    return ok(name, f"'{frame}', {angle:.0f} degrees from straight ahead in '{parent}'")


def check_axes(seen: Recording, config: Config) -> Finding:
    """The given poses move the pictures as the pictures really move."""
    name = "axes"
    pairs = find_pairs(seen, config)
    if not pairs:
        return warn(name, "not judged: the camera hardly moved", "move it while the doctor looks")
    shares = agreement(pairs)
    if not shares:
        return warn(name, "not judged: pictures without structure", "look at something textured")
    best = max(shares, key=shares.get)
    percent = {reading: f"{100 * share:.0f} %" for reading, share in shares.items()}
    if best != "given" and shares[best] > shares["given"] + CLEARLY:
        what, fix = MIX_UPS[best]
        matches = f"{percent[best]} of the matches, {percent['given']} as given"
        return error(name, f"{what} ({matches})", fix)
    if shares["given"] < 0.5:
        what = f"pictures and poses disagree: {percent['given']} of the matches fit"
        fix = "check extrinsics, time synchronisation and calibration of the camera"
        return warn(name, what, fix)
    return ok(name, f"pictures move as the poses say: {percent['given']} of the matches fit")


def find_pairs(seen: Recording, config: Config) -> list[tuple[Frame, Frame]]:
    """Pairs of pictures spread over the observation, apart in place, alike in direction."""
    try:
        frames = PosedFrames(seen, config)
        T = frames.T_world_frame
        found = []
        for i in range(len(T)):
            j = next((j for j in range(i + 1, len(T)) if _are_apart(T[i], T[j])), None)
            if j is not None:
                found.append((i, j))
        step = max(1, len(found) // PAIRS)
        return [
            tuple(frames.frame(frames.events[k]) for k in pair) for pair in found[::step][:PAIRS]
        ]
    except ValueError:
        return []  # said by the checks of the camera


def _are_apart(T_a: np.ndarray, T_b: np.ndarray) -> bool:
    T = poses.inverse(T_a) @ T_b
    turn = poses.rotation_angle(T[:3, :3])
    return turn <= MOST_TURN and float(np.linalg.norm(T[:3, 3])) >= BASELINE
