"""What can go wrong with an image, in sentences for the person at the keyboard."""

from __future__ import annotations


class ImageError(RuntimeError):
    """Something is missing or could not be built; the message says what, and what helps."""
