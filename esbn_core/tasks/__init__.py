"""The four tasks of the paper as problem sets over object numbers."""
