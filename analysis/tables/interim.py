"""Note on interim analyses under tables with corrected p-values."""


def looks_note(looks: int) -> list[str]:
    """Returns what a reader of corrected p-values has to know of the looks, if there is more than one."""
    if looks == 1:
        return []
    return [
        f"Looks: {looks} are planned, at numbers of seeds set before the extra seeds were trained. p is {looks} times"
        " the smallest over the looks taken, once all seeds of a look have ended (Bonferroni over looks),"
        " so the level holds over all of them, wherever one stops. Means and intervals are of all seeds, and intervals"
        " are not corrected. A reader who saw p at a single look before the looks were planned, and would have kept it,"
        f" has an error rate of up to {2 - 1 / looks:.3g} times the level."
    ]
