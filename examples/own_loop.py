"""Train in a loop of your own: sample, score, step. No trainer framework, one device.

    python examples/own_loop.py [STEPS]

A model that ships learns to call tools under two rewards. Put your model, your prompts and your rewards in their place;
the loop asks of a model what Hugging Face's causal models have.
"""

from __future__ import annotations

import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from concord import Groups, Rollouts, create
from concord.engines.loop import Loop
from concord.recipes import tool_task

PROMPTS, GROUP = 8, 8
REWARDS = {"correctness": tool_task.correctness, "conciseness": tool_task.conciseness}


def main(steps: int) -> None:
    torch.manual_seed(0)
    folder = tool_task.base_model_path()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    policy = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    loop = Loop(
        policy,
        create("gd2po", tau=0.8),
        torch.optim.AdamW(policy.parameters(), lr=1e-3, weight_decay=0.0),
        end=tokenizer.eos_token_id,
        pad=tokenizer.pad_token_id,
        limit=80,
    )
    rows = tool_task.rows("train", PROMPTS * steps, 0)
    for step in range(steps):
        drawn = [row for row in rows[PROMPTS * step : PROMPTS * (step + 1)] for _ in range(GROUP)]
        prompts = [
            tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False) for row in drawn
        ]
        sampled = loop.sample(prompts, seed=step)
        texts = tokenizer.batch_decode(sampled.responses(), skip_special_tokens=True)
        answers = [row["answer"] for row in drawn]
        scores = torch.tensor([reward(texts, answer=answers) for reward in REWARDS.values()]).T
        done = loop.step(sampled, Rollouts(scores, Groups.uniform(PROMPTS, GROUP), tuple(REWARDS)))
        means = ", ".join(f"{name} {mean:.2f}" for name, mean in zip(REWARDS, scores.mean(0).tolist(), strict=True))
        kept, cancelled = done.outcome.keep.float().mean(), done.outcome.metrics["mask_conflicts/cancelled"]
        print(f"step {step + 1}: {means}; kept {kept:.0%}, cancelled {cancelled:.0%}, computed {done.tokens} tokens")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
