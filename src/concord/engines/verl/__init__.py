"""Concord in verl 0.9, unmodified: a plug-in that verl finds through its entry points.

    python -m verl.trainer.main_ppo algorithm.adv_estimator=concord trainer.v1.trainer_mode=concord_sync \\
        +algorithm.concord.method=gd2po +algorithm.concord.args.tau=0.8 \\
        '+algorithm.concord.rewards=[correctness,format,length]' ...

:mod:`concord.engines.verl.plugin` is what verl imports; :mod:`concord.engines.verl.contract` is what is assumed of it.
"""
