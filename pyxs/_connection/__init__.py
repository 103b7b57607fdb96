"""What the connections of :mod:`pyxs.connection` share, and the hints in their errors."""
