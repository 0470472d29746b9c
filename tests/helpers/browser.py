"""Debian's Chromium, for the tests of a page: installed where the machine allows it, else why there is none."""

import shutil

from debian import install

FLAGS = (  # no sandbox, since root has none; and not a word to the network
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class BrowserError(Exception):
    """There is no browser on this machine; the message says what is missing."""


def chromium() -> str:
    """Path of the browser."""
    why = "" if shutil.which("chromium") else install(["chromium"])
    found = shutil.which("chromium")
    if not found:
        raise BrowserError(f"pages need chromium: {why}")
    return found
