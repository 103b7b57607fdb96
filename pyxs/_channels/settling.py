"""What becomes of a channel when an exception has ended the call that used it."""

import time

from .._wire.replies import MalformedError
from ..exceptions import ConnectionError
from .channel import Channel
from .deadlines import LateError
from .failures import raised_by_handler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

_GRACE = 0.1  # seconds to wait for the replies that are due


def settle(channel: Channel, then: "Callable[[float], object]" = bool) -> bool:
    """Wait a little for the replies that are due, or else close the channel.

    :param then: called when they have come, with the time until which it may wait.
    :returns: whether the channel can be used.
    """
    deadline = time.monotonic() + _GRACE
    settled = False
    try:
        if channel.finish(deadline):
            then(deadline)
            settled = True
    except (LateError, MalformedError):
        pass
    except ConnectionError:
        if channel.failure is None or raised_by_handler():
            raise  # a signal handler raised it
    finally:
        if not settled:
            channel.close()
    return settled
