"""Note on interim analyses under tables with corrected p-values."""


def looks_note(looks: int) -> list[str]:
    """Returns a note on the looks for readers of corrected p-values, if there is more than one look."""
    if looks == 1:
        return []
    return [
        f"Looks: {looks} are planned, at numbers of seeds fixed before the extra seeds were trained. p is {looks} times"
        " the smallest p of all complete looks (Bonferroni over looks), so the level holds over all looks, wherever you"
        " stop. Means and intervals use all seeds; intervals are uncorrected. If you read p at a single look before the"
        " looks were planned, and would have kept that result, your error rate is up to"
        f" {2 - 1 / looks:.3g} times the level."
    ]
