"""Where the numbers of a training go while it runs. A logger takes one record an epoch; none needs an account."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

from course_utils.system.errors import CourseError
from course_utils.system.whole_file import whole_file


def write_csv(path: Path, history: list[dict[str, float]]) -> None:
    """One row an epoch. Written whole each time, so that it is never behind and never doubled."""
    columns = list(dict.fromkeys(key for record in history for key in record))
    with whole_file(path) as scratch, scratch.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)


class TensorBoardLogger:
    """Event files in ``tensorboard/``; look at them with ``tensorboard --logdir runs/train``."""

    @staticmethod
    def look() -> None:
        """Raises CourseError where the package is missing."""
        try:
            import torch.utils.tensorboard  # noqa: F401
        except ImportError:
            raise CourseError("TensorBoard is not installed. Get it with: pip install tensorboard") from None

    def __init__(self, folder: Path, name: str, settings: dict) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"))
        self._writer.add_text("settings", "\n".join(f"    {key}: {value}" for key, value in settings.items()))

    def log(self, record: dict[str, float]) -> None:
        for key, value in record.items():
            if key != "epoch":
                self._writer.add_scalar(key, value, int(record["epoch"]))

    def close(self) -> None:
        self._writer.close()


class WandbLogger:
    """Weights & Biases: into ``wandb/`` on this disk, without an account, unless ``$WANDB_MODE`` asks otherwise."""

    @staticmethod
    def look() -> None:
        """Raises CourseError where the package is missing."""
        try:
            import wandb  # noqa: F401
        except ImportError:
            raise CourseError("Weights & Biases is not installed. Get it with: pip install wandb") from None

    def __init__(self, folder: Path, name: str, settings: dict) -> None:
        import wandb

        self._run = wandb.init(
            project="latent-space-course",
            name=name,
            id=name,
            resume="allow",
            dir=str(folder),
            config=settings,
            mode=os.environ.get("WANDB_MODE", "offline"),
        )

    def log(self, record: dict[str, float]) -> None:
        numbers = {key: value for key, value in record.items() if key != "epoch"}
        self._run.log(numbers, step=int(record["epoch"]))

    def close(self) -> None:
        self._run.finish()


OPTIONAL: dict[str, Any] = {"tensorboard": TensorBoardLogger, "wandb": WandbLogger}
