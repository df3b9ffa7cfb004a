"""An honest remaining time."""

import time


class Pace:
    """Remaining time from the pace so far; None until two seconds and one step have passed."""

    def __init__(self, total: int, done: int = 0) -> None:
        self.total, self.first, self.start = total, done, time.monotonic()

    def remaining_s(self, done: int) -> float | None:
        elapsed = time.monotonic() - self.start
        if done <= self.first or elapsed < 2:
            return None
        return elapsed * (self.total - done) / (done - self.first)
