"""nnU-Net's own trainer, for minutes instead of epochs. nnU-Net finds it through `nnUNet_extTrainer`."""

import os
import time

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainerTimed(nnUNetTrainer):
    """Steps for `NNUNET_SECONDS`, the learning rate annealed by nnU-Net's polynomial over that time.

    Only the steps and the waits for their batches are counted: neither the start, nor a validation, nor a checkpoint.
    """

    def run_training(self):
        """Train, and write checkpoint_final.pth."""
        self.on_train_start()
        seconds, spent, steps = float(os.environ["NNUNET_SECONDS"]), 0.0, 0
        self.network.train()
        while spent < seconds:
            start = time.perf_counter()
            self.lr_scheduler.step(self.num_epochs * spent / seconds)
            self.train_step(next(self.dataloader_train))
            spent, steps = spent + time.perf_counter() - start, steps + 1
        self.print_to_log_file(f"{steps} steps in {spent:.1f} s")
        self.on_train_end()

    def perform_actual_validation(self, save_probabilities=False):
        """Nothing: the held-out cases are predicted by nnUNetv2_predict."""
