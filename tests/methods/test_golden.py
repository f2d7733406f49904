"""Advantages against the authors' own numbers, float32. The bound is 1e-6; 1e-5 is what we promise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from concord import Chain, Groups, Rollouts, create

FILES = sorted((Path(__file__).parents[1] / "golden").glob("gd2po_*.safetensors"))
METHODS = {
    "gdpo": create("gdpo"),
    "gd2po_hard": create("gd2po", tau=1),
    "gd2po_snr_0.2": create("gd2po", tau=0.2),
    "gd2po_snr_0.5": create("gd2po", tau=0.5),
    "gd2po_snr_0.8": create("gd2po", tau=0.8),
}


def read(path: Path) -> tuple[Rollouts, dict[str, Tensor], Tensor]:
    golden = load_file(path)
    kinds = golden["rewards"].shape[1]
    groups = Groups.of(golden["groups"].tolist())
    batch = Rollouts(golden["rewards"], groups, tuple("abc"[:kinds]), {"lengths": golden["lengths"]})
    mask = torch.arange(golden["grpo"].shape[1]) < golden["lengths"][:, None]
    return batch, golden, mask


def check(chain: Chain, path: Path, key: str) -> None:
    batch, golden, mask = read(path)
    got = chain(batch).advantages[:, None] * mask
    torch.testing.assert_close(got, golden[key] * mask, rtol=0, atol=1e-6)


def test_there_are_golden_files() -> None:
    assert len(FILES) == 6


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_grpo(path: Path) -> None:
    check(create("grpo").signal, path, "grpo")


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_whitened(path: Path, name: str) -> None:
    check(METHODS[name].signal, path, f"{name}/whiten")


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_raw(path: Path, name: str) -> None:
    check(METHODS[name].signal.without("whiten"), path, f"{name}/raw")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_hard_mask_and_kept_share_are_the_authors(path: Path) -> None:
    batch, golden, _ = read(path)
    outcome = create("gd2po_hard").signal(batch, trace=True)
    assert torch.equal(outcome.keep, ~golden["conflict_hard"].bool())
    kept = dict(outcome.trace)["mask_conflicts"].keep.float()
    share = torch.stack([kept[batch.groups.index == p].mean() for p in batch.groups.index])
    torch.testing.assert_close(share, golden["kept_fraction_hard"])


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_per_reward_normalisation(path: Path) -> None:
    batch, golden, _ = read(path)
    signal = dict(create("gdpo").signal(batch, trace=True).trace)["group_normalize"]
    torch.testing.assert_close(signal.values.float(), golden["per_reward"], rtol=0, atol=1e-6)


def test_the_catalogues_fixture() -> None:
    """Computed by hand from the paper: raw, both orders of the kept share, and a sign that flips."""
    rewards = torch.tensor(
        [[3, 0.2], [1, 0.9], [-1, 0.4], [-3, 0.1], [2, 0.5], [2, 0.7], [-2, 0.1], [0, 0.2]], dtype=torch.float32
    )
    lengths = torch.tensor([5, 3, 8, 4, 6, 2, 7, 5])
    batch = Rollouts(rewards, Groups.uniform(2, 4), ("a", "b"), {"lengths": lengths})
    expected = {
        "gdpo": [0.616236, 1.432540, -0.059718, -1.167215, 1.052603, 1.549872, -1.372200, -0.408432],
        "gd2po_hard": [0, 1.224911, 0.068732, -0.789341, 1.149326, 1.663028, -1.355610, -0.359993],
    }
    for name, want in expected.items():
        torch.testing.assert_close(create(name).signal(batch).advantages, torch.tensor(want), rtol=0, atol=2e-6)
    paper = create("gd2po", tau=0.8, rule="paper").signal(batch).advantages
    want = [0, 1.095739, 0.020405, -0.777668, 1.095938, 1.573720, -1.233842, -0.307843]
    torch.testing.assert_close(paper, torch.tensor(want), rtol=0, atol=2e-6)
    hard = create("gd2po_hard").signal(batch)
    assert hard.metrics["whiten/sign_flips"] == pytest.approx(1 / 7)
