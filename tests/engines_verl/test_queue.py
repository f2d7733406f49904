"""The V1 trainers' ``_compute_advantage`` over a real TransferQueue under Ray. The rest of the trainer is not there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import ray
import torch
import transfer_queue as tq
from omegaconf import OmegaConf
from tensordict import TensorDict
from verl.trainer.ppo.padding_utils import upsample_batch_to_divisible_size
from verl.trainer.ppo.v1 import get_trainer_cls
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from concord import Groups, Rollouts, create
from concord.engines.signal import StepSignal
from concord.engines.verl.settings import TRAINERS, read
from tests.engines_verl.batches import REWARDS, rollouts

WIDTH = 7


@pytest.fixture(scope="module", autouse=True)
def queue() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    config = OmegaConf.create({"backend": {"SimpleStorage": {"num_data_storage_units": 1}}})
    tq.init(config)
    yield
    tq.close()
    ray.shutdown()


def trainer(mode: str = "concord_sync", algorithm: dict | None = None, **args):
    """A trainer of verl's with what this one function of it reads."""
    concord = {"method": "gd2po", "args": args, "rewards": list(REWARDS)}
    made = object.__new__(get_trainer_cls(mode))
    made.config = OmegaConf.create(
        {
            "algorithm": {
                "adv_estimator": "concord",
                "use_kl_in_reward": False,
                "gamma": 1.0,
                "lam": 1.0,
                "rollout_correction": None,
                "concord": concord,
                **(algorithm or {}),
            },
            "actor_rollout_ref": {"rollout": {"n": 4, "response_length": WIDTH}},
        }
    )
    made._signal = StepSignal(read(made.config.algorithm))
    return made


def put(scores, uids, mask, outputs: int = 1, info=None):
    """What verl's agent loops put into the queue: each rollout's outputs, the same score on all of them."""
    keys, fields, tags = [], [], []
    session: dict[str, int] = {}
    for row, uid in enumerate(uids):
        number = session[uid] = session.get(uid, -1) + 1
        for index in range(outputs):
            length = int(mask[row].sum())
            scored = dict(zip(REWARDS, scores[row].tolist(), strict=True)) if info is None else info(row)
            keys.append(f"{uid}_{number}_{index}")
            fields.append(
                {
                    "uid": uid,
                    "prompts": torch.ones(3, dtype=torch.long),
                    "responses": torch.ones(length, dtype=torch.long),
                    "input_ids": torch.ones(3 + length, dtype=torch.long),
                    "position_ids": torch.arange(3 + length),
                    "response_mask": torch.ones(length, dtype=torch.long),
                    "loss_mask": torch.ones(length, dtype=torch.long),
                    "rm_scores": torch.zeros(length),
                    "rollout_log_probs": torch.zeros(length),
                    "old_log_probs": torch.zeros(length),
                    "extra_fields": {"reward_extra_info": scored},
                }
            )
            tags.append({"response_len": length, "seq_len": 3 + length})
    return tq.kv_batch_put(keys=keys, partition_id="train", fields=list_of_dict_to_tensordict(fields), tags=tags)


def advantages(made, batch):
    metrics: dict[str, float] = {}
    after = made._compute_advantage(batch, metrics)
    names = ["advantages", "returns", "response_mask", "loss_mask"]
    found = tq.kv_batch_get(keys=after.keys, partition_id="train", select_fields=names)
    tq.kv_clear(keys=after.keys, partition_id="train")
    return found, metrics


def core(scores, uids, lengths, method: str = "gd2po", **args):
    columns = {"lengths": lengths, "truncated": lengths >= WIDTH}
    return create(method, **args).signal(Rollouts(torch.tensor(scores), Groups.of(uids), REWARDS, columns))


def first(nested) -> torch.Tensor:
    return torch.stack([row[0] for row in nested.unbind()])


@pytest.mark.parametrize("mode", TRAINERS)
def test_the_advantages_in_the_queue_are_the_cores(mode: str) -> None:
    scores, uids, mask = rollouts()
    found, metrics = advantages(trainer(mode, tau=0.5), put(scores, uids, mask))
    outcome = core(scores, uids, mask.sum(1), tau=0.5)
    for row, expected in zip(found["advantages"].unbind(), outcome.advantages, strict=True):
        torch.testing.assert_close(row, expected.expand_as(row), atol=1e-6, rtol=0)
    assert torch.equal(found["advantages"].values(), found["returns"].values())
    assert metrics["concord/kept"] == pytest.approx(outcome.keep.float().mean().item())
    assert metrics["concord/rewards/format/mean"] == pytest.approx(float(scores[:, 1].mean()), abs=1e-6)


def test_rows_that_verl_adds_to_fill_a_mini_batch_up_change_nothing() -> None:
    scores, uids, mask = rollouts()
    batch = upsample_batch_to_divisible_size(put(scores, uids, mask), 7, eos_token_id=1)
    assert len(batch.keys) == 28
    got = first(advantages(trainer(), batch)[0]["advantages"])
    torch.testing.assert_close(got[:24], core(scores, uids, mask.sum(1)).advantages, atol=1e-6, rtol=0)
    assert not got[24:].any()


def test_several_outputs_of_one_rollout_share_its_advantage_and_its_length() -> None:
    scores, uids, mask = rollouts()
    got = first(advantages(trainer(), put(scores, uids, mask, outputs=2))[0]["advantages"])
    expected = core(scores, uids, 2 * mask.sum(1)).advantages
    torch.testing.assert_close(got, expected.repeat_interleave(2), atol=1e-6, rtol=0)


def test_verls_rollout_correction_comes_before_the_advantages() -> None:
    """It rejects every token here whose probability under the sampler was another: those of the first rollout."""
    scores, uids, mask = rollouts()
    batch = put(scores, uids, mask)
    masks = tq.kv_batch_get(keys=batch.keys, partition_id="train", select_fields=["old_log_probs"])
    moved = [row + (5.0 if index == 0 else 0.0) for index, row in enumerate(masks["old_log_probs"].unbind())]
    nested = torch.nested.as_nested_tensor(moved, layout=torch.jagged)
    tq.kv_batch_put(
        keys=batch.keys, partition_id="train", fields=TensorDict({"old_log_probs": nested}, batch_size=len(batch.keys))
    )
    correction = {
        "rollout_is": "token", "rollout_is_threshold": 2.0, "rollout_is_batch_normalize": False,
        "rollout_rs": "token_k1", "rollout_rs_threshold": "0.5_2.0", "bypass_mode": False,
    }  # fmt: skip
    found, metrics = advantages(trainer(algorithm={"rollout_correction": correction}), batch)
    lengths = mask.sum(1)
    lengths[0] = 0
    expected = core(scores, uids, lengths).advantages
    expected[0] = 0
    torch.testing.assert_close(first(found["advantages"]), expected, atol=1e-6, rtol=0)
    assert not found["response_mask"].unbind()[0].any()
    assert any("rollout_corr" in name for name in metrics)


def test_a_method_whose_dropped_rollouts_leave_the_denominators_takes_their_tokens_out() -> None:
    scores, uids, mask = rollouts()
    scores[[index for index, uid in enumerate(uids) if uid == uids[0]]] = 1.0
    made = trainer()
    made.config.algorithm.concord.method = "dapo"
    made._signal = StepSignal(read(made.config.algorithm))
    found, _ = advantages(made, put(scores, uids, mask))
    for uid, response, loss, length in zip(
        uids, found["response_mask"].unbind(), found["loss_mask"].unbind(), mask.sum(1), strict=True
    ):
        assert response.sum() == loss.sum() == (0 if uid == uids[0] else length)


def test_a_reward_that_a_rollout_lacks_is_missing_and_counted() -> None:
    scores, uids, mask = rollouts()

    def info(row: int):
        scored = dict(zip(REWARDS, scores[row].tolist(), strict=True))
        return {name: value for name, value in scored.items() if (row, name) != (2, "format")}

    got, metrics = advantages(trainer(), put(scores, uids, mask, info=info))
    scores[2, 1] = np.nan
    torch.testing.assert_close(first(got["advantages"]), core(scores, uids, mask.sum(1)).advantages, atol=1e-6, rtol=0)
    assert metrics["concord/rewards/format/missing"] == pytest.approx(1 / 24)


def test_verls_native_gdpo_does_not_work_in_v1_yet() -> None:
    """The canary: when this fails, the V1 trainers hand named rewards to estimators, and ours may be told so too."""
    scores, uids, mask = rollouts()
    batch = put(scores, uids, mask)
    made = object.__new__(get_trainer_cls("sync"))
    made.config = OmegaConf.merge(
        trainer().config,
        {"algorithm": {"adv_estimator": "gdpo", "concord": None, "gdpo_reward_keys": list(REWARDS)}},
    )
    with pytest.raises(KeyError, match="prompts"):
        made._compute_advantage(batch, {})
    tq.kv_clear(keys=batch.keys, partition_id="train")


def test_the_state_of_a_chain_goes_with_the_run(tmp_path, monkeypatch) -> None:
    made = trainer()
    made._signal.state = (None, {"mean": torch.tensor([1.5])}, None)
    made.global_steps = 3
    made.config.trainer = {"default_local_dir": str(tmp_path), "resume_mode": "auto", "resume_from_path": None}
    there_first = []
    verls = get_trainer_cls("sync")
    monkeypatch.setattr(verls, "_save_checkpoint", lambda self: there_first.extend(tmp_path.rglob("*.safetensors")))
    monkeypatch.setattr(verls, "_load_checkpoint", lambda self: None)
    made._save_checkpoint()
    assert [path.name for path in there_first] == ["concord.safetensors"]  # before verl marks it as complete
    made._signal.state = (None, None, None)
    made._load_checkpoint()
    assert made._signal.state[1]["mean"].item() == 1.5
    there_first[0].unlink()
    with pytest.warns(UserWarning, match="starts anew"):
        made._load_checkpoint()
