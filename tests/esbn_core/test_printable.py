"""Text of others: shown, and not obeyed."""

import pytest

from esbn_core.printable import printable


@pytest.mark.parametrize("text", ["encoder=mlp", "99.7 ± 0.1", "— ≤ √n", "naïve 日本語　字 🙂", "a\u00a0b", r"C:\x1b"])
def test_printable_leaves_what_can_be_seen(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\x00\x07\x08\x7f", r"a\x00\x07\x08\x7f"),
        ("\x9b31m", r"\x9b31m"),  # the same as ESC [ to some terminals
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("a\u2028b\u2029", r"a\u2028b\u2029"),
        ("\u202egnp.exe", r"\u202egnp.exe"),  # writes backwards from here on
        ("\udce9", r"\udce9"),  # a byte of a file name that is not UTF-8
    ],
)
def test_printable_shows_what_a_terminal_would_obey(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).isprintable()
    printable(text).encode()


def test_printable_keeps_what_it_is_told_to() -> None:
    assert printable("a\n\x1b\tb", keep="\n") == "a\n\\x1b\\tb"
