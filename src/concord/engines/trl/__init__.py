"""Concord in TRL: change the import of the trainer and its config, and name a method.

from concord.engines.trl import ConcordConfig, ConcordTrainer

trainer = ConcordTrainer(
    model="Qwen/Qwen2.5-0.5B-Instruct",
    reward_funcs=[correctness, brevity],
    args=ConcordConfig(output_dir="run", method="gd2po", method_args={"tau": 0.8}),
    train_dataset=dataset,
)
trainer.train()
"""

from concord.engines.contract import require

require()

from concord.engines.trl.config import ConcordConfig  # noqa: E402
from concord.engines.trl.trainer import ConcordTrainer  # noqa: E402

__all__ = ["ConcordConfig", "ConcordTrainer"]
