"""verl's command line for a small run on CPU, as a user would write it; platform and rollout are for tests only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.engines_verl import task

ROOT = Path(__file__).parents[2]


def overrides(folder: Path) -> list[str]:
    """The words after ``python -m verl.trainer.main_ppo``: GD2PO, the tool task, two workers, 4 x 4 rollouts."""
    folder.mkdir(parents=True, exist_ok=True)
    actor, rollout = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
    return [
        "algorithm.adv_estimator=concord",
        "trainer.v1.trainer_mode=concord_sync",
        "+algorithm.concord.method=gd2po",
        "+algorithm.concord.args.tau=0.8",
        "+algorithm.concord.rewards=[correctness,format,conciseness]",
        f"data.train_files={task.write(folder / 'train.parquet', 'train', 64)}",
        f"data.val_files={task.write(folder / 'test.parquet', 'test', 8)}",
        "data.train_batch_size=4",
        "data.max_prompt_length=96",
        "data.max_response_length=64",
        "data.dataloader_num_workers=0",
        "data.seed=0",
        f"actor_rollout_ref.model.path={task.model(folder / 'model')}",
        "+actor_rollout_ref.model.override_config.attn_implementation=sdpa",
        "actor_rollout_ref.model.use_remove_padding=False",
        "actor_rollout_ref.model.enable_gradient_checkpointing=False",
        f"{actor}.strategy=fsdp2",
        f"{actor}.fsdp_config.strategy=fsdp2",
        f"{actor}.fsdp_config.dtype=float32",
        f"{actor}.fsdp_config.use_torch_compile=False",
        f"{actor}.use_torch_compile=False",
        f"{actor}.ppo_mini_batch_size=4",
        f"{actor}.ppo_micro_batch_size_per_gpu=4",
        f"{actor}.optim.lr=1e-3",
        f"{rollout}.name=hf",
        f"{rollout}.n=4",
        f"{rollout}.tensor_model_parallel_size=1",
        f"{rollout}.log_prob_micro_batch_size_per_gpu=4",
        f"{rollout}.agent.num_workers=1",
        "reward.num_workers=1",
        f"reward.custom_reward_function.path={ROOT / 'tests' / 'engines_verl' / 'task.py'}",
        "reward.custom_reward_function.name=compute_score",
        "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
        "trainer.n_gpus_per_node=2",
        "trainer.nnodes=1",
        "trainer.device=cpu",
        "trainer.logger=[console]",
        "trainer.val_before_train=False",
        f"trainer.default_local_dir={folder / 'checkpoints'}",
        "ray_kwargs.ray_init.num_cpus=16",
        "+ray_kwargs.ray_init.num_gpus=2",
        "+ray_kwargs.ray_init.include_dashboard=False",
    ]


def run(words: list[str], folder: Path, seconds: int) -> str:
    """What verl prints; the machine's Ray is left as it was found, because verl starts and ends one of its own."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "VERL_USE_EXTERNAL_MODULES": "tests.engines_verl.cpu",
        "VERL_ENGINE_DEVICE": "cuda",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "verl.trainer.main_ppo", *words]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        timeout=seconds,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    return done.stdout
