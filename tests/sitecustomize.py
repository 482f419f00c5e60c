"""What Python does first in processes that tests start: one that hangs ends by itself and prints where it stood."""

from waiting import end_when_stuck

end_when_stuck()
