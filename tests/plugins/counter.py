import time
from pathlib import Path

from lute import ElogSummaryPlots, Executor, Task, TaskParameters


class CountParameters(TaskParameters):
    """Count frames."""

    frames: int = 3
    threshold: float = 5.0
    go_on: str = ""


class Count(Task):
    def _run(self):
        params = self._task_parameters
        for frame in range(params.frames):
            print(f"frame {frame} é", flush=True)
            self.report_progress(frame + 1, params.frames, "frames")
        while params.go_on and not Path(params.go_on).exists():
            self.report_progress(params.frames, params.frames, "frames")
            time.sleep(0.05)
        print("the last line", flush=True)
        self.log_metric("resolution", 2.0 - params.threshold / 100, "Å")
        self._result.summary = "counted"


class BrokenParameters(TaskParameters):
    """Fail."""


class Broken(Task):
    def _run(self):
        raise ValueError("the shutter is closed")


class DrawParameters(TaskParameters):
    """Draw."""


class Draw(Task):
    def _run(self):
        page = "<b id=drawn></b><script>document.getElementById('drawn').textContent = 'drawn by a script'</script>"
        self._result.summary = ElogSummaryPlots("scans/first one", page)


Counter, Breaker, Drawer = Executor("Count"), Executor("Broken"), Executor("Draw")
