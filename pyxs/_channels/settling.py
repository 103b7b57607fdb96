"""What becomes of a channel when an exception has ended the call that used it."""

import time

from .._wire.replies import MalformedError
from ..exceptions import ConnectionError
from .channel import Channel
from .deadlines import LateError
from .failures import raised_by_handler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

_GRACE = 0.1  # seconds to wait for the replies that are due


def settle(channel: Channel, then: "Optional[Callable[..., object]]" = None, *args: "Any") -> bool:
    """Wait a little for the replies that are due, or else close the channel.

    :param then: called when they have come, with the channel, the time until which it may wait,
        and *args*.
    :returns: whether the channel can be used.
    """
    deadline = time.monotonic() + _GRACE
    settled = False
    try:
        if channel.finish(deadline):
            if then is not None:
                then(channel, deadline, *args)
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
