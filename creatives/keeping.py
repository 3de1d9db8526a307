"""Keeping a photograph's colours under a style's strokes."""

import numpy as np

from creatives.colour import Floats, from_oklab, to_oklab


def keep_hues(original: Floats, styled: Floats) -> Floats:
    """The style's lightness with the photograph's own colour (L. A. Gatys et al., "Preserving Color in Neural Artistic
    Style Transfer", 2016, luminance only), in Oklab; both ``(height, width, 3)`` sRGB in 0..1.
    """
    lab = to_oklab(original)
    lab[..., 0] = to_oklab(styled)[..., 0]
    return from_oklab(lab)


def keep_palette(original: Floats, styled: Floats) -> Floats:
    """The style's strokes in the photograph's palette: mean and covariance of colour are moved to the photograph's.

    The linear map between two Gaussians that moves least (F. Pitie, A. Kokaram, "The linear Monge-Kantorovitch linear
    colour mapping", CVMP 2007).
    """
    source, goal = (picture.reshape(-1, 3).astype(np.float64) for picture in (styled, original))
    spread = np.cov(source, rowvar=False) + np.eye(3) * 1e-5 if len(source) > 1 else np.eye(3)
    wanted = np.cov(goal, rowvar=False) + np.eye(3) * 1e-5 if len(goal) > 1 else np.eye(3)
    root = _root(spread)
    back = np.linalg.inv(root)
    matrix = back @ _root(root @ wanted @ root) @ back
    moved = (source - source.mean(axis=0)) @ matrix.T + goal.mean(axis=0)
    return np.clip(moved.reshape(styled.shape), 0, 1).astype(np.float32)


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
