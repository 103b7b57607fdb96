"""``t``, which has the types that annotations name.

Annotations are strings, as ``"t.Optional[t.Text]"``, that only type checkers and
``typing.get_type_hints`` evaluate. :mod:`typing` is imported then, and not before: that takes a
tenth of the time in which a command reads.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import types as t
else:

    class _Types:
        """Stands for the module ``types`` until one of its names is needed."""

        def __getattr__(self, name):
            from . import types

            return getattr(types, name)

    t = _Types()

__all__ = ["t"]
