"""Plans: from a declared study to its trials, packs and the rows that describe them."""
