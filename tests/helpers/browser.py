"""Debian's Chromium, for the tests of a page: installed where the machine allows it, else why there is none."""

import os
import shutil
import subprocess

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
    found = shutil.which("chromium") or _installed()
    if not found:
        raise BrowserError("pages need chromium; it is installed by the tests as root on Debian only")
    return found


def _installed() -> str | None:
    if os.geteuid() or not shutil.which("apt-get"):
        return None
    install = "apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium"
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(["sh", "-c", install], env=quiet, capture_output=True, text=True)
    if done.returncode:
        raise BrowserError(f"pages need chromium: {done.stderr.strip()}")
    return shutil.which("chromium")
