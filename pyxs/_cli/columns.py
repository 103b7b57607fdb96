"""Text in the columns of a terminal."""

import unicodedata

__all__ = ["padded", "shortened", "width"]


def width(text: str) -> int:
    """Return how many columns a terminal needs for a text."""
    return sum(map(_width_of, text))


def _width_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def padded(text: str, columns: int) -> str:
    """Return a text with spaces behind it, up to a width."""
    return text + " " * (columns - width(text))


def shortened(text: str, columns: int) -> str:
    """Return a text of at most this width; dots stand for an end that is left out."""
    if width(text) <= columns:
        return text
    while text and width(text) > columns - 3:
        text = text[:-1]
    return text + "..."
