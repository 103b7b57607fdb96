"""From one conversation to the next: connecting, connecting anew, and forks."""

import os
import threading
from typing import Dict, Optional

from ..connection import PacketConnection
from .router import Router


class Link:
    """Hands out the live conversation over a connection, and begins one when there is none."""

    def __init__(self, connection: PacketConnection) -> None:
        self.connection = connection
        self.last: Optional[Router] = None  #: the conversation last begun, ended or not
        # Each held while connecting. By process: a lock that another thread held at
        # the fork is never released in the child.
        self._locks: Dict[int, threading.Lock] = {}

    def router(self) -> Router:
        """Return the live conversation; connect if there is none.

        :raises ConnectionError: nobody answers.
        """
        router = self.last
        if router is not None and router.usable():
            return router
        with self._lock():
            router = self.last
            if router is None or not router.usable():
                router = self._begin(router)
            return router

    def _begin(self, ended: "Optional[Router]") -> Router:
        if ended is not None:
            ended.join()
        # It closes a descriptor inherited from a parent process first.
        self.connection.connect()
        self.last = router = Router(self.connection)
        return router

    def close(self) -> None:
        """End the conversation, if one goes on; every thread in it gets a ``ConnectionError``.

        One inherited from a parent process goes on there; only its descriptor is closed.
        """
        router = self.last
        if router is None:
            return
        if router.is_own():
            router.close()
            return
        with self._lock():
            if self.last is router:
                self.connection.disconnect()

    def _lock(self) -> threading.Lock:
        return self._locks.setdefault(os.getpid(), threading.Lock())
