"""What a figure must not hide: labels of the plane lie beside its dots, codes that all lie in one place are seen."""

from __future__ import annotations

import itertools

import pytest
import torch

from course_utils.plots import charts, vae_figures

SEEDS = [(70.0, 50.0), (70.4, 52.0)]


@pytest.mark.parametrize(
    "yours",
    [
        {},
        {"above": (70.2, 54.5)},
        {"above": (70.2, 54.5), "below": (70.2, 47.5)},
        {"above": (70.2, 54.5), "below": (70.2, 47.5), "right": (71.2, 51.0)},
    ],
)
def test_a_label_covers_no_dot_and_no_other_label(monkeypatch, yours):
    drawn = []
    monkeypatch.setattr(vae_figures, "show", lambda fig, alt, caption="": drawn.append(fig))
    families = {
        "one": {"0.5": SEEDS, "far": [(90.0, 20.0)]},
        "other": {"1000": [(x + 0.2, y + 1) for x, y in SEEDS], "": [(80.0, 30.0)]},
    }
    vae_figures.plane(families, yours, "alt", xlabel="x", ylabel="y", floor=(1.0, "floor"))
    (fig,) = drawn
    fig.draw_without_rendering()
    (ax,) = fig.axes
    assert [text.get_text() for text in ax.texts] == ["0.5", "far", "1000"], "a model without a name has no label"
    boxes = [text.get_window_extent() for text in ax.texts]
    dots = [dot for models in families.values() for seeds in models.values() for dot in seeds] + [*yours.values()]
    covered = [(x, y) for x, y in ax.transData.transform(dots) for box in boxes if box.contains(x, y)]
    assert not covered and not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_many_codes_in_one_place_have_a_large_sign_and_a_few_codes_have_not(monkeypatch):
    drawn = []
    monkeypatch.setattr(charts, "show", lambda fig, alt, caption="": drawn.append(fig))
    z = torch.cat([torch.randn(200, 2), torch.zeros(200, 2), torch.randn(2, 2)])
    charts.code_map({"map": (z, torch.tensor([0] * 200 + [1] * 200 + [2] * 2))}, "alt", prior=False)
    everywhere, one_place, few = (signs.get_sizes()[0] for signs in drawn[0].axes[0].collections)
    assert everywhere == few < one_place
