"""Names of files and leases in the store, shared by rooms."""

KEY = "trial_id"
"""Column with the name of each row in a merged file."""


def suggestion_name(search: str, number: int) -> str:
    """Returns the name of a suggestion's files in the store."""
    return f"{search}-{number:04d}"


def search_of(name: str) -> str:
    """Returns the search that a suggestion of this name belongs to."""
    return name.rpartition("-")[0]


def lease_of_search(search: str) -> str:
    """Returns the name on which a run of this search holds a lease, instead of a trial id."""
    return f"search {search}"
