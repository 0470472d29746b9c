"""Safe printing of text from outside, such as names and error messages."""

import unicodedata

_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format and surrogate characters; breaks of lines and paragraphs


def printable(text: str, keep: str = "") -> str:
    r"""Escapes control characters, such as ``\x1b``, which a terminal or browser would obey.

    Args:
        text: any text, such as the label of an arm or an error message.
        keep: control characters to keep, such as line breaks.
    """
    if text.isprintable():
        return text
    unseen = {c for c in text if unicodedata.category(c) in _UNSEEN} - set(keep)
    return text.translate({ord(c): c.encode("unicode_escape").decode() for c in unseen})
