"""How a request is refused."""


class Refused(Exception):  # noqa: N818, it says what happened to a request
    """The answer to a request is ERROR.

    :param name: the errno's name, as it goes on the wire.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name
