"""One picture as an array and as a pygame Surface at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pygame
from numpy.typing import NDArray


def surface_of(picture: NDArray[np.uint8]) -> pygame.Surface:
    """A Surface over the memory of `picture`, uint8 ``[H, W, 3]``: what is drawn on either is seen on both.

    A picture that is not contiguous is copied.
    """
    pixels: Any = np.ascontiguousarray(picture)
    return pygame.image.frombuffer(pixels, (picture.shape[1], picture.shape[0]), "RGB")
