"""Names by which rooms find each other's files and leases in the store."""

KEY = "trial_id"
"""Column that names the rows of a merged file."""


def suggestion_name(search: str, number: int) -> str:
    """Returns the name of a suggestion's files in the store."""
    return f"{search}-{number:04d}"


def search_of(name: str) -> str:
    """Returns the search that a suggestion of this name belongs to."""
    return name.rpartition("-")[0]


def lease_of_search(search: str) -> str:
    """Returns what a run of this search holds a lease on in place of a trial."""
    return f"search {search}"
