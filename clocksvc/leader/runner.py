"""The thread in which a leader steps: between steps it waits for the store's wake-up, or for as long as a step says."""

import logging
import sys
import threading

from clocksvc.errors import Unavailable
from clocksvc.interfaces.store import Store
from clocksvc.leader.leader import Leader, Phase

logger = logging.getLogger("clocksvc.leader")

CRASH_BACK_OFF_S = 1.0
TURN_S = 0.0001
"""CPython's 5 ms would make each of another clock's dozen waits for the interpreter that long while one clock works
through a backlog."""


class LeaderThread:
    """Runs one clock's leader until it is told to stop."""

    def __init__(self, clock: str, leader: Leader, store: Store) -> None:
        self._leader = leader
        self._store = store
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"leader-{clock}", daemon=True)

    def start(self) -> None:
        """Begin. From now on the process's threads take turns often enough for several clocks."""
        sys.setswitchinterval(min(sys.getswitchinterval(), TURN_S))
        self._thread.start()

    def stop(self) -> None:
        """Tell the thread to finish its step and to leave; `join` waits for it. Returns at once."""
        self._stop.set()
        # In a thread of its own: a store that does not answer must not delay the other clocks' leaving.
        threading.Thread(target=self._wake, name=f"wake-{self._clock}", daemon=True).start()

    def join(self, timeout_s: float) -> bool:
        """Wait until the lease is given up; False when that took longer."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _wake(self) -> None:
        try:
            self._store.notify()
        except Unavailable:
            logger.debug("no wake-up, the store is unavailable", extra={"clock": self._clock})

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._wait(self._leader.step())
            except Exception:
                # A defect of ours must not end the clock without a word: begin again with nothing in hand, say why.
                logger.exception("leader's step failed", extra={"clock": self._clock})
                self._start_over()
                self._stop.wait(CRASH_BACK_OFF_S)
        self._leader.leave()

    def _start_over(self) -> None:
        try:
            self._leader.start_over()
        except Exception:
            logger.exception("leader can't start over", extra={"clock": self._clock})

    def _wait(self, seconds: float) -> None:
        if seconds <= 0:
            return
        if self._leader.phase is not Phase.LEADING:
            self._stop.wait(seconds)
            return
        try:
            self._store.wait_for_notification(seconds)
        except Unavailable:
            self._stop.wait(seconds)
