"""Turns off Python's cyclic garbage collector while a process creates many long-lived objects."""

import gc
import threading

_lock = threading.Lock()
_pauses = 0
_was_enabled = True


class CollectorPause:
    """One reason to turn the collector off. It runs again once all reasons have ended, if it ran before.

    The collector belongs to the whole process. Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._paused = False

    def set_paused(self, paused: bool) -> None:
        """Turn the collector off, or end this object's pause. Without a change, this does nothing."""
        global _pauses, _was_enabled
        if paused == self._paused:
            return
        with _lock:
            self._paused = paused
            _pauses += 1 if paused else -1
            if paused and _pauses == 1:
                _was_enabled = gc.isenabled()
                gc.disable()
            elif not paused and _pauses == 0 and _was_enabled:
                gc.enable()

    def freeze(self) -> None:
        """End this object's pause, and exclude all present objects of the process from later collections."""
        gc.freeze()
        self.set_paused(False)
