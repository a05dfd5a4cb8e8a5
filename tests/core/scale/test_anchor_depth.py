"""The API's way to metres: depth of a prediction against points of its world."""

from dataclasses import replace

import numpy as np
import pytest
from small_scene import prediction

from da3_ros.api import anchor_depth


def world_points(found, count=400, seed=0):
    """Some of the surfaces that the views show."""
    rng, points = np.random.default_rng(seed), []
    for depth, K, E, sky in zip(
        found.depth, found.intrinsics, found.extrinsics, found.sky, strict=True
    ):
        rows, columns = np.nonzero(sky < 0.3)
        chosen = rng.permutation(len(rows))[: count // len(found.depth)]
        rows, columns = rows[chosen], columns[chosen]
        rays = np.c_[columns, rows, np.ones(len(rows))] @ np.linalg.inv(K).T
        points.append((rays * depth[rows, columns, None] - E[:, 3]) @ E[:, :3])
    return np.concatenate(points)


def errors(found, true):
    return np.abs(found.depth / true.depth - 1)[true.sky < 0.3]


@pytest.mark.parametrize("fault", [lambda z: z / 3, lambda z: 1 / (0.7 / z + 0.1)])
def test_depth_comes_into_the_unit_of_the_points(fault):
    true = prediction()
    wrong = replace(true, depth=fault(true.depth))
    corrected, fits = anchor_depth(wrong, world_points(true))
    assert np.median(errors(corrected, true)) < 0.01 < 0.05 < np.median(errors(wrong, true))
    assert len(fits) == 3 and all(f.points > 60 and f.error < 0.1 for f in fits)
    np.testing.assert_array_equal(corrected.extrinsics, true.extrinsics)


def test_points_may_only_measure():
    true = prediction()
    same, fits = anchor_depth(
        replace(true, depth=true.depth * 0.8), world_points(true), correction="none"
    )
    np.testing.assert_allclose(same.depth, true.depth * 0.8)
    assert all(f.correction == "none" and 0.2 < f.error < 0.35 for f in fits)


def one_view_without_points():
    """Two views, a third as deep as they are; points that only the first one sees; the truth."""
    true = prediction(2)
    first = world_points(replace(true, sky=np.stack([true.sky[0], np.ones_like(true.sky[1])])))
    away = true.extrinsics.copy()
    away[1, :, 3] += (100, 0, 0)
    return replace(true, depth=true.depth / 3, extrinsics=away), first, true


def test_a_view_with_few_points_is_scaled_as_the_others():
    wrong, first, true = one_view_without_points()
    corrected, fits = anchor_depth(wrong, first)
    assert fits[1].points == 0 and fits[1].correction == "scale"
    np.testing.assert_allclose(corrected.depth[1], true.depth[1], rtol=0.05)


def test_a_view_with_few_points_stays_as_it_is_where_points_only_measure():
    wrong, first, _ = one_view_without_points()
    same, fits = anchor_depth(wrong, first, correction="none")
    assert fits[1].correction == "none"
    np.testing.assert_array_equal(same.depth, wrong.depth)


@pytest.mark.parametrize(
    "change, points, words",
    [
        ({"extrinsics": None}, np.zeros((9, 3)), "has no cameras"),
        ({}, np.zeros((9, 2)), r"points must be \(P, 3\), got \(9, 2\)"),
        ({}, np.full((9, 3), np.nan), "the views see 0 of the points"),
        ({}, np.full((50, 3), -1e3), "one world and one unit"),
    ],
)
def test_what_cannot_be_is_said(change, points, words):
    with pytest.raises(ValueError, match=words):
        anchor_depth(replace(prediction(), **change), points)


def test_an_unknown_correction_and_gaussians_are_refused():
    with pytest.raises(ValueError, match="correction is 'spline', must be one of auto, scale"):
        anchor_depth(prediction(), np.zeros((9, 3)), correction="spline")
    with pytest.raises(ValueError, match="Gaussians would not follow"):
        anchor_depth(prediction(gaussians=True), np.zeros((9, 3)))
