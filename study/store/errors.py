"""User errors of a store, its leases and its archives."""

from esbn_core.errors import UserError


class StoreError(UserError):
    """The store cannot be read or written; the message names the place or file and says what to do.

    No message contains credentials.
    """


class LeaseError(StoreError):
    """Another run has some of these trials, or has taken them over; the message says what to do."""


class BundleError(UserError):
    """The archive cannot be written or may not be imported; the message names the file or trial and says why."""
