"""Read the rollouts of a run from Python, and act on what they say.

    python examples/diagnose_dump.py path/to/completions

The path is a file or folder that any framework wrote, as for ``concord diagnose``. Without one, a small dump is made up
in which a judge pays for length and a budget for brevity.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path

from concord.dumps import open_dump
from concord.report import analyse


def made_up(path: Path) -> Path:
    """Forty steps of eight prompts with four rollouts each, a line of JSON for each rollout."""
    draw = random.Random(0)
    with path.open("w") as file:
        for step in range(40):
            for prompt in range(8):
                for _ in range(4):
                    words = draw.randint(5, 60)
                    row = {
                        "step": step,
                        "prompt": f"question {step * 8 + prompt}",
                        "completion": "word " * words,
                        "correct": float(draw.random() < 0.3 + step / 80),
                        "judge": words / 60 + draw.gauss(0, 0.2),
                        "brief": 1 - words / 60,
                    }
                    file.write(json.dumps(row) + "\n")
    return path


def main(path: Path) -> None:
    analysis = analyse(open_dump([path]))
    print("\n".join(analysis.verdict))
    print()
    for reward in analysis.rewards:
        share, dead = reward.share_of_advantage, reward.dead_group_share
        print(f"{reward.name:8} {share:4.0%} of the advantage, dead in {dead:.0%} of groups: {reward.verdict}")
    print()
    for finding in analysis.findings:
        print(f"{finding.severity:8} {finding.message}")
    # The same object is JSON: numbers for a dashboard, or for a check in CI.
    print(f"\ncancelled share: {analysis.to_dict()['cancelled_share']:.2f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else made_up(Path(folder) / "rollouts.jsonl"))
