"""What a script tells its user instead of a traceback: what was required, what was found, what to do."""


class MarinaError(Exception):
    """The world refused: a file, a server or a model is not as it must be. Scripts exit with 1."""

    exit_code = 1


class UsageError(MarinaError):
    """The command, or a file that the person wrote, is wrong. Scripts exit with 2."""

    exit_code = 2
