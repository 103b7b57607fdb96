"""The error of a refused request."""


class Refused(Exception):  # noqa: N818, the request is refused, the daemon has no error
    """The daemon refuses a request: its reply is ERROR.

    :param name: the name of the errno in the reply.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name
