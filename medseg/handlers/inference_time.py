"""How long a case takes to be predicted, for the record of the run."""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents

from medseg import files


class InferenceTime:
    """Note in a run's ``record.json`` what the cases of an evaluation took: ``inference: {cases, seconds_a_case}``.

    Timed is the network with its inferer (of a mixture, its fit), from the batch in memory to the output; reading,
    resampling, scores and files are not. A folder without a record, which no run made, is left alone.

    Args:
        output_dir: the run folder.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.record = Path(output_dir) / "record.json"
        self.begun, self.seconds = 0.0, list[float]()

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.STARTED, lambda: self.seconds.clear())
        engine.add_event_handler(Events.ITERATION_STARTED, self._begin)
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self._end)
        engine.add_event_handler(Events.COMPLETED, self._note)

    def _begin(self) -> None:
        self.begun = time.perf_counter()

    def _end(self, engine: Engine) -> None:
        if engine.state.device.type == "cuda":
            torch.cuda.synchronize(engine.state.device)
        self.seconds.append(time.perf_counter() - self.begun)

    def _note(self) -> None:
        if self.record.is_file() and self.seconds:
            mean = math.fsum(self.seconds) / len(self.seconds)
            inference = {"cases": len(self.seconds), "seconds_a_case": float(f"{mean:.3g}")}
            files.write_json(self.record, files.read_json(self.record) | {"inference": inference})
