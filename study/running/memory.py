"""One-sentence summaries of Ray's reports of workers that it killed for lack of memory."""

import re

_REPORT = re.compile(
    r"killed due to the node running low on memory\. Memory on the node \(IP: (?P<host>[^,]+).*?\) "
    r"was (?P<used>\S+?)GB used / (?P<limit>\S+?)GB limit"
    r"(?:.*?MEM\(GB\)\s+COMMAND\s+(?P<pid>\d+)\s+(?P<size>\S+)\s+(?P<command>[^\n]+))?",
    re.DOTALL,
)


class MemoryShortageError(Exception):
    """Stops Tune, which is then restarted with fewer jobs at a time."""


def memory_shortage(text: str) -> str | None:
    """Returns a sentence on the last such report in a text: machine and largest process; None if there is no report.

    Tune passes on Ray's reports only as text.
    """
    reports = list(_REPORT.finditer(text))
    if not reports:
        return None
    host, used, limit, pid, size, command = reports[-1].groups()
    shortage = f"Memory ran out on {host} ({used} of {limit} GB used)"
    return shortage if pid is None else f"{shortage}; the largest process is {command.strip()} (pid {pid}, {size} GB)"
