"""How fast a body comes. Pure."""


class TooSlow(Exception):
    """A server sends less than it must."""


class Pace:
    """Counts only the time spent waiting for the server, because a slow reader is not the server's fault."""

    def __init__(self, lowest_rate: int, window_s: float) -> None:
        """`lowest_rate` in bytes a second, on average over the window."""
        self._lowest_rate, self._window_s = lowest_rate, window_s
        self._waited_s, self._size_bytes = 0.0, 0

    def note(self, waited_s: float, size_bytes: int) -> None:
        """Raises `TooSlow` at the end of a window in which too little data came."""
        self._waited_s += waited_s
        self._size_bytes += size_bytes
        if self._waited_s >= self._window_s:
            if self._size_bytes < self._lowest_rate * self._waited_s:
                raise TooSlow
            self._waited_s, self._size_bytes = 0.0, 0
