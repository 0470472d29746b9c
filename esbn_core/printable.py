"""Text of others, as it can be printed."""

import unicodedata

_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format and surrogate characters; breaks of lines and paragraphs


def printable(text: str, keep: str = "") -> str:
    r"""Shows control characters as Python writes them, such as ``\x1b``: a terminal or browser would obey them.

    Args:
        text: any, such as the label of an arm or the message of an error.
        keep: control characters that stay, such as line breaks.
    """
    if text.isprintable():
        return text
    unseen = {c for c in text if unicodedata.category(c) in _UNSEEN} - set(keep)
    return text.translate({ord(c): c.encode("unicode_escape").decode() for c in unseen})
