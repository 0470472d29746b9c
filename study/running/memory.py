"""Ray's reports of workers that it killed as a machine ran out of memory, in one sentence."""

import re

_REPORT = re.compile(
    r"killed due to the node running low on memory\. Memory on the node \(IP: (?P<host>[^,]+).*?\) "
    r"was (?P<used>\S+?)GB used / (?P<limit>\S+?)GB limit"
    r"(?:.*?MEM\(GB\)\s+COMMAND\s+(?P<pid>\d+)\s+(?P<size>\S+)\s+(?P<command>[^\n]+))?",
    re.DOTALL,
)


class MemoryShortageError(Exception):
    """Ends Tune, so that it is started again with fewer jobs at a time."""


def memory_shortage(text: str) -> str | None:
    """Names the machine of the last such report in a text, and its largest process; None if there is no report.

    Tune passes on what Ray reports as text alone.
    """
    reports = list(_REPORT.finditer(text))
    if not reports:
        return None
    host, used, limit, pid, size, command = reports[-1].groups()
    shortage = f"Memory ran out on {host} ({used} of {limit} GB used)"
    return shortage if pid is None else f"{shortage}; the largest process is {command.strip()} (pid {pid}, {size} GB)"
