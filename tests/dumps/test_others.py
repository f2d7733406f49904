"""SkyRL, open-instruct, AReaL, ROLL and tinker-cookbook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.dumps.truth import Row, by_step, check, read, rows, shuffled, write_lines


def skyrl(row: Row) -> dict[str, Any]:
    return {
        "input_prompt": row.prompt, "output_response": row.completion,
        "score": [0.0, row.total] if row.index else row.total,  # one a token, or one
        "stop_reason": "length" if row.truncated else "stop", "env_class": "gsm8k",
        "env_extras": {"data_source": "gsm8k", "index": 3}, "data_source": "gsm8k",
    }  # fmt: skip


def test_skyrl_evaluation(tmp_path: Path) -> None:
    wanted = rows()
    for step, here in by_step(wanted).items():
        folder = tmp_path / f"global_step_{step}_evals"
        write_lines(folder / "gsm8k.jsonl", map(skyrl, here))
        write_lines(folder / "aggregated_results.jsonl", [{"eval/all/avg_score": 0.5}])
    dump, groups = read(tmp_path)
    check(groups, wanted, ("score",), total=True, truncated=True)
    assert dump.format == "skyrl"
    assert not dump.skipped
    assert "other files in the folder, which hold no rollouts: 3" in dump.inferred
    assert any("trainer.dump_eval_results" in sentence for sentence in dump.missing)


def open_instruct(row: Row) -> dict[str, Any]:
    return {
        "step": row.step, "sample_idx": 4 * row.group + row.index, "prompt_idx": row.group, "prompt_tokens": [1, 2],
        "response_tokens": [3] * row.length, "reward": row.total, "advantage": row.advantage,
        "finish_reason": "length" if row.truncated else "stop", "dataset": "gsm8k", "ground_truth": [7],
        "request_info": None, "logprobs": None,
    }  # fmt: skip


def test_open_instruct_has_no_texts(tmp_path: Path) -> None:
    wanted = rows()
    records = [open_instruct(row) for row in shuffled(wanted)]  # two threads append
    write_lines(tmp_path / "tulu_rollouts_000000.jsonl", records[:20])
    write_lines(tmp_path / "tulu_rollouts_000001.jsonl", records[20:])
    write_lines(tmp_path / "tulu_metadata.jsonl", [{"run_name": "tulu", "git_commit": "x"}])
    dump, groups = read(tmp_path)
    check(groups, wanted, ("reward",), total=True, texts=False, advantages=True, lengths=True, truncated=True)
    assert dump.format == "open-instruct"
    assert "texts: open-instruct writes token ids only" in dump.missing
    assert not dump.skipped
    assert "other files in the folder, which hold no rollouts: 1" in dump.inferred


def areal(row: Row) -> dict[str, Any]:
    return {
        "task_id": row.group, "sample_idx": row.index, "seqlen": row.length + 9, "prompt_len": 9,
        "head_version": row.step - 1, "tail_version": row.step, "reward": row.total, "prompt": row.prompt,
        "completion": row.completion,
    }  # fmt: skip


def test_areal_has_a_file_a_prompt(tmp_path: Path) -> None:
    wanted = rows()
    for first in wanted[::4]:
        mates = [areal(row) for row in wanted if (row.step, row.group) == (first.step, first.group)]
        write_lines(tmp_path / "rollout" / str(first.step) / f"{first.group}.jsonl", mates)
    dump, groups = read(tmp_path)
    check(groups, wanted, ("reward",), total=True, lengths=True)
    assert dump.format == "areal"
    assert [group.step for group in groups] == [1, 1, 1, 2, 2, 2, 10, 10, 10]


def roll(here: list[Row]) -> dict[str, Any]:
    return {
        "global_step": [row.step for row in here], "id": [str(row.group) for row in here],
        "domain": ["math"] * len(here), "prompt": [row.prompt for row in here], "difficulty": [0.5] * len(here),
        "responses": [row.completion for row in here], "scores": [row.total for row in here],
    }  # fmt: skip


def test_roll_writes_a_step_as_one_object(tmp_path: Path) -> None:
    wanted = rows()
    for step, here in by_step(shuffled(wanted)).items():
        write_lines(tmp_path / f"rollout_dump_data.step_{step}.jsonl", [roll(here)])
    dump, groups = read(tmp_path)
    check(groups, wanted, ("scores",), total=True)
    assert dump.format == "roll"
    assert any("domain's reward worker" in sentence for sentence in dump.missing)


def roll_episode(row: Row, proxy: bool) -> dict[str, Any]:
    talk = [{"role": "user", "content": row.prompt}, {"role": "assistant", "content": row.completion}]
    data: dict[str, Any] = {"reward_info": {"episode_reward": row.total, "step_rewards": [0.0]}}
    if proxy:
        data["trajectory_id"] = f"my_env_{row.group}_5_77_{row.index}_20260801_120000_000123_b0"
    else:
        env = {"tag": "my_env", "group_id": row.group, "env_id": row.index, "episode_id": 5, "seed": 77}
        data |= {"trajectory_id": f"x{row.index}", "env_info": env, "length_info": {"truncated": row.truncated}}
    return {"trajectory_data": json.dumps(data), "messages": json.dumps(talk), "global_step": row.step}


def roll_table(here: list[Row], proxy: bool) -> dict[str, Any]:
    episodes = [roll_episode(row, proxy) for row in here]
    return {name: [one[name] for one in episodes] for name in episodes[0]}


def test_roll_agentic(tmp_path: Path) -> None:
    wanted = rows()
    for proxy in (False, True):
        folder = tmp_path / str(proxy)
        for step, here in by_step(wanted).items():
            write_lines(folder / f"rollout_dump_data.step_{step}.jsonl", [roll_table(here, proxy)])
        dump, groups = read(folder)
        check(groups, wanted, ("episode_reward",), total=True, truncated=not proxy)
        assert not dump.skipped


def test_roll_logging_board(tmp_path: Path) -> None:
    wanted = rows()
    records = [
        {
            "logprobs": [0.1], "new_response_mask": [1] * row.length + [0], "prompt": row.prompt,
            "response": row.completion, "values": [0.0], "token_rewards": [0.0], "reward": row.total, "step": row.step,
            "response_tokens": ["a"],
        }
        for row in shuffled(wanted)
    ]  # fmt: skip
    _, groups = read(write_lines(tmp_path / "data_20260801_120000_001.jsonl", records))
    check(groups, wanted, ("reward",), total=True, lengths=True)


def tinker(row: Row) -> dict[str, Any]:
    return {
        "schema_version": 1, "split": "train", "iteration": row.step, "group_idx": row.group, "traj_idx": row.index,
        "tags": ["math"], "sampling_client_step": row.step, "total_reward": row.total, "final_reward": 0.0,
        "trajectory_metrics": {"short": row.scores["short"]}, "final_ob_len": 0,
        "steps": [
            {"step_idx": 0, "ac_len": row.length, "reward": 1.0, "metrics": {"right": row.scores["right"]}},
            {"step_idx": 1, "ac_len": 0, "reward": 0.0, "metrics": {}},
        ],
    }  # fmt: skip


def test_tinker_summaries_have_metrics_and_no_texts(tmp_path: Path) -> None:
    wanted = rows()
    for step, here in by_step(wanted).items():
        folder = tmp_path / f"iteration_{step:06d}"
        write_lines(folder / "train_rollout_summaries.jsonl", map(tinker, here))
        write_lines(folder / "eval_gsm8k_rollout_summaries.jsonl", map(tinker, here))
    write_lines(tmp_path / "metrics.jsonl", [{"step": 0, "env/all/reward/total": 0.1}])
    dump, groups = read(tmp_path)
    check(groups, wanted, texts=False, lengths=True)
    assert dump.format == "tinker-cookbook"
    assert dump.rewards == ("right", "short")
    assert "left out as a total of the others: total_reward, final_reward" in dump.inferred
    assert "other files in the folder, which hold no rollouts: 1" in dump.inferred
    assert dump.skipped.total() == 3  # the evaluation summaries
