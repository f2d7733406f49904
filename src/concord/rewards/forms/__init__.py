"""The forms of reward functions: how TRL, verl, OpenRLHF, ms-swift, slime and verifiers call theirs."""
