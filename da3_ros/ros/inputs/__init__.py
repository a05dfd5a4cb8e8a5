"""From subscriptions to frames: pairing, poses, rectified pictures."""
