"""The thread that runs a leader's steps. Between two steps it waits for a notification of the store, or until the next
step is due."""

import logging
import threading

from clocksvc.errors import Unavailable
from clocksvc.interfaces.leases import Leases
from clocksvc.leader.leader import Leader, Phase
from clocksvc.runtime.worker_thread import WorkerThread

logger = logging.getLogger("clocksvc.leader")


class LeaderThread:
    """Runs one log's leader until `stop`. After an unexpected exception, the leader starts over."""

    def __init__(self, log: int, leader: Leader, leases: Leases) -> None:
        self._leader = leader
        self._leases = leases
        self._log = log
        self._stopped = False
        self._thread = WorkerThread(
            f"leader-{log}",
            self._step_and_wait,
            log=logger,
            extra={"log": str(log)},
            on_crash=leader.start_over,
            finish=leader.leave,
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the leader to finish its step and to release the lease. Returns at once; `join` waits for it."""
        self._stopped = True  # before the notification, which a step can clear
        self._thread.stop()
        # In a thread of its own: a store that does not answer must not delay the other logs' leaders.
        threading.Thread(target=self._notify, name=f"notify-{self._log}", daemon=True).start()

    def join(self, timeout_s: float) -> bool:
        """Wait until the lease is released; False if it is not released after `timeout_s`."""
        return self._thread.join(timeout_s)

    def _notify(self) -> None:
        try:
            self._leases.notify()
        except Unavailable:
            logger.debug("store unavailable, leader not notified", extra={"log": self._log})

    def _step_and_wait(self) -> float:
        wait_s = self._leader.step()
        if wait_s <= 0 or self._leader.phase is not Phase.LEADING or self._stopped:
            return wait_s
        try:
            notified = self._leases.wait_for_notification(wait_s)
        except Unavailable:
            return wait_s
        return self._leader.gather_s() if notified else 0.0
