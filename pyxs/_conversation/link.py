"""Connects on first use, and again after a failure or a fork."""

import os
import weakref
from threading import get_ident

from ..connection import PacketConnection
from ..exceptions import InvalidOperation
from .conversation import Conversation
from .request import Ending, Request
from .roles import Roles, nested_call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional

_CONNECT = "connect"


class Link:
    """Returns the live conversation over a connection, and begins one if there is none.

    :param connection: for this link alone.
    :raises InvalidOperation: another link has it.
    """

    def __init__(self, connection: PacketConnection) -> None:
        _claim(connection, self)
        self.connection = connection
        self.last: Optional[Conversation] = None  #: the last conversation, even if it has ended
        # By process: in a forked child nobody gives back the roles that threads of the
        # parent had.
        self._roles: Dict[int, Roles] = {}
        self._spare: Optional[Link] = None

    def call(self, request: Request) -> Conversation:
        """Send a request and wait for its answer; return the conversation.

        :raises ConnectionError: nobody answers, or the connection is lost.
        """
        conversation = self.last
        # The same as conversation.usable(), without the call: each request passes here.
        if conversation is None or conversation.failures or conversation.pid != os.getpid():
            conversation = self.free_conversation()
        while not conversation.call(request):
            conversation = self.free_conversation()
        return conversation

    def free_conversation(self) -> Conversation:
        """Return a live conversation in which this thread has no call yet.

        A call made inside another call of this thread, by a signal handler or a finalizer,
        gets one over a connection of its own.

        :raises ConnectionError: nobody answers.
        """
        if self._is_inside():
            if self._spare is None:
                self._spare = Link(self.connection.clone())
            return self._spare.free_conversation()
        return self.conversation()

    def conversation(self) -> Conversation:
        """Return the live conversation; connect if there is none.

        :raises ConnectionError: nobody answers.
        :raises PyXSError: ``EDEADLK``: this thread is inside a call that connects, or one
            on a connection that has been closed meanwhile.
        """
        conversation = self.last
        if conversation is not None and conversation.usable():
            return conversation
        if self._is_inside():
            raise nested_call()
        roles = self._roles.setdefault(os.getpid(), Roles())
        me = Ending()
        try:
            try:
                return self._connected(roles, me)
            finally:
                roles.give_back(me)
        except BaseException:
            roles.give_back(me)  # an exception may have interrupted the other one
            raise

    def _connected(self, roles: Roles, me: Ending) -> Conversation:
        roles[get_ident()] = me
        while roles.setdefault(_CONNECT, me) is not me:
            roles.sleep(me, lambda: _CONNECT in roles, -1)
        conversation = self.last
        if conversation is None or not conversation.usable():
            conversation = self._connect(conversation)
        return conversation

    def _is_inside(self) -> bool:
        pid, conversation = os.getpid(), self.last
        if conversation is not None and conversation.pid == pid and conversation.is_inside():
            return True
        return get_ident() in self._roles.get(pid, ())

    def _connect(self, ended: "Optional[Conversation]") -> Conversation:
        if ended is not None and ended.pid == os.getpid():
            ended.join()
        _claim(self.connection, self)
        try:
            # This first closes a descriptor inherited from a parent process.
            self.connection.connect()
            conversation = self.last = Conversation(self.connection)
        except BaseException:
            if self.last is ended:
                self.connection.disconnect()
            raise
        return conversation

    def close(self) -> None:
        """End the conversation if there is one; all threads in it get a ``ConnectionError``.

        One inherited from a parent process goes on there; only its descriptor is closed.
        """
        spare, conversation = self._spare, self.last
        if spare is not None:
            spare.close()
        _disclaim(self.connection, self)
        if conversation is None:
            return
        if conversation.pid == os.getpid():
            conversation.close()
        elif not self._roles.get(os.getpid()):
            self.connection.disconnect()


def _claim(connection: PacketConnection, link: Link) -> None:
    """Make *link* the owner of a connection."""
    mine = weakref.ref(link)
    owners = vars(connection)
    while True:
        owner = owners.setdefault("_owner", mine)()
        if owner is link:
            return
        if owner is not None:
            raise InvalidOperation(
                connection,
                "{}: this connection belongs to another Client or Monitor; "
                "use client.monitor() or connection.clone()".format(connection.path),
            )
        owners.pop("_owner", None)  # its owner has been deleted


def _disclaim(connection: PacketConnection, link: Link) -> None:
    """Give up a closed connection, so that another link can own it."""
    owners = vars(connection)
    owner = owners.get("_owner")
    if owner is not None and owner() is link:
        owners.pop("_owner", None)
