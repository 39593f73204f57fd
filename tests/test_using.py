"""docs/using.md: every example runs, from top to bottom, in one session as a reader would type them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.cli.app import run
from course_utils.models import runs

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "using.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(python|bash)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_every_example_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    for number in range(30):
        picture = tmp_path / "pictures" / ("one", "two")[number % 2] / f"{number}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (20, 20), 5 * number).save(picture)
    assert len(EXAMPLES) > 8
    scope: dict = {"path": tmp_path / "runs" / "train" / "my-vae.safetensors"}
    for language, source in EXAMPLES:
        if language == "bash":
            for line in source.splitlines():
                assert run(shlex.split(line.removeprefix("course "))) == 0, line
        elif "# needs onnx" in source:
            _onnx(source, scope)
        else:
            exec(source, scope)
    torch.testing.assert_close(
        scope["weights"]["encoder.0.weight"], runs.open("my-vae", "train").model.encoder[0].weight
    )
    assert scope["new_images"].shape == (64, 784) and scope["codes"].shape == (len(scope["images"]), 8)
    assert len(scope["from_loader"].train_images) > 1000
    assert scope["accuracy"] > 0.3  # chance is 0.1; fixed seeds


def _onnx(source: str, scope: dict) -> None:
    """The exported decoder gives the numbers of the model, in onnx's own interpreter and for another batch size."""
    pytest.importorskip("onnxscript", reason="onnx and onnxscript are not installed")
    from onnx.reference import ReferenceEvaluator

    exec(source, scope)
    z = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    (logits,) = ReferenceEvaluator("decoder.onnx").run(None, {"z": z.numpy()})
    np.testing.assert_allclose(logits, scope["model"].decoder(z).detach().numpy(), atol=1e-4)
