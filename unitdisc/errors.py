"""Errors that are the user's to mend; each says where, what was wanted, what came, and what to do."""


class UnitdiscError(Exception):
    """The base of all errors that the command prints in one line, without a traceback."""


class DataError(UnitdiscError):
    """Something in a corpus, a unit file, an item file or a feature archive is wrong."""


class ConfigError(UnitdiscError):
    """A configuration cannot be read, or asks for what does not exist."""


class CheckpointError(UnitdiscError):
    """A checkpoint cannot be loaded, or does not fit what it is to be used for."""
