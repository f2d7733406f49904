"""Reward models without the usual biases: read pairs, train with Bradley-Terry and DIR, evaluate.

The pairs
    pairs       a prompt, the chosen and the rejected answer
    forms       the forms that data comes in: Hugging Face, HH, PandaLM, LLMBar, RM-Bench
    read        rows from a file or the hub
    biases      which answer is longer, more flattering, more formatted; or a function of yours
    rows        tokens and labels, as the trainer takes them

The training
    objective   Bradley-Terry, and terms against biases
    penalties   DIR's information, and the linear correlation
    batch       what a penalty is computed from
    readout     the states that a model reads its reward from
    trainer     TRL's RewardTrainer with penalties

The evaluation
    score       what a model makes of pairs
    measures    accuracy, its links to length, calibration, styles
    residual    length taken out of the scores by a straight line
    evaluate    all measures, on sets of pairs
    plot        the same as a picture

The run
    config      the YAML file
    train       from a configuration to models and their evaluation
    folder      what a run leaves behind
    progress    what one sees meanwhile
"""
