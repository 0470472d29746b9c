"""The one exception for settings a user can mend."""


class ConfigError(ValueError):
    """A setting that cannot be had; the message names the field, its value and what would do."""
