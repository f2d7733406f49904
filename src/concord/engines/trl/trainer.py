"""GRPOTrainer with Concord's advantages and loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from concord.core.chain import Chain
from concord.core.errors import BatchError, ConfigError
from concord.core.groups import Groups
from concord.core.rollouts import Rollouts
from concord.core.signal import Outcome
from concord.dumps import write
from concord.dumps.values import text
from concord.engines.facts import RATIO_VARIANCE
from concord.engines.learnt import learner_metrics
from concord.engines.trl import push, refill, rows
from concord.engines.trl.check import check_data, check_method
from concord.engines.trl.columns import Columns, Function
from concord.engines.trl.config import ConcordConfig
from concord.engines.trl.drift import Drift
from concord.engines.trl.hidden import HIDDEN
from concord.engines.trl.learning import Learning
from concord.engines.trl.logs import log_outcome, log_rewards
from concord.engines.trl.rewards import Rewards
from concord.engines.trl.scoring import SCORES, ScoringTrainer
from concord.functional.kl import k3
from concord.learners import PoolingSpec
from concord.methods import Method, info
from concord.objectives import Mean, Totals
from concord.rewards.completions import completion_text
from concord.stages import GroupNormalize, MeasureConflicts, Sum, Weigh


class ConcordTrainer(ScoringTrainer):
    """TRL's ``GRPOTrainer``; the advantages and the loss are those of a Concord method.

    Generation, data, reward functions, reference model, vLLM, PEFT, accelerate, logging and
    checkpoints are TRL's. What differs:

    - The rewards stay apart until the method joins them, and may be functions of any framework, with
      schedules, gates, time limits and policies for failure (:class:`concord.rewards.NamedReward`).
      A reward that returns None for a rollout has not scored it; one that raises, or returns NaN,
      stops the run unless it says otherwise.
    - A row without a gradient (dropped, or with an advantage of exactly 0 that no loss acts on) leaves the
      batch before the forward pass. The loss is divided by the tokens and responses of the whole
      optimisation step, over micro-batches and processes, so the gradient is that of one big batch.
    - Training resumes bit-equal, the state of the chain included; see :mod:`concord.engines.trl.resume`.

    Args:
        model, reward_funcs, and all others: as for ``GRPOTrainer``; ``reward_funcs`` may hold
            :class:`concord.rewards.NamedReward` too. Such rewards say how many scores were lost at the end of
            :meth:`train` and of :meth:`evaluate`; their workers live on for the next call, and end with the trainer
            or with the process. A :class:`concord.rewards.RewardSet` in their place is yours to close.
        args: a :class:`ConcordConfig`.
        columns: functions by the name of a column that the method reads and no engine can know, such as ``answers``
            (:class:`concord.engines.trl.columns.Columns`). Those that the method does not read are not called.

    Metrics, beside TRL's:

    - ``concord/<stage>/<metric>`` of the chain, ``concord/objective/<metric>`` of the loss;
    - ``concord/conflict/mixed`` and ``concord/conflict/cancelled``, whatever the method
      (:class:`concord.stages.MeasureConflicts`);
    - ``concord/kept``, ``concord/empty_groups``, ``concord/computed``: the shares of rollouts kept, of
      groups with nothing kept, of rollouts that went through the forward pass; ``entropy`` and ``kl`` are
      over these; ``concord/refill/*``: numbers of groups and of rounds;
    - ``concord/learner/<metric>`` of the method's learner;
    - ``concord/weight/<reward>``, the weight in force; ``concord/gate/<reward>``, the share of rollouts for
      which a gated reward counts; ``rewards/<reward>/abstained``, ``failed``, ``timed_out`` and ``invalid``,
      the shares of rollouts without a score, by reason.

    Raises:
        ConfigError: an option that the method decides; a method that needs what TRL does not give;
            data without prompts, or too few of them for one generation batch.
        DuplicateName: two reward functions of one name, which would share a column.
        RewardError: a reward function failed more often than it may.
    """

    _name = "Concord"
    _tag_names = ["trl", "concord"]  # noqa: RUF012 TRL's own attribute

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: ConcordConfig | None = None,
        *more: Any,
        columns: Mapping[str, Function] | None = None,
        **options: Any,
    ) -> None:
        args = ConcordConfig() if args is None else args
        if not isinstance(args, ConcordConfig):
            raise ConfigError(f"args must be a ConcordConfig, got {type(args).__name__}; change its import too")
        self._rewards = Rewards(reward_funcs, args)
        self._columns = Columns(columns)
        self._weights: dict[str, float] = {}
        super().__init__(model, self._rewards.functions, args, *more, **options)
        self._rewards.settle(self.reward_func_names)
        self._weigh()
        self._check()
        self._learning = self._beside()
        card = info(args.method)
        self._paper = {"title": card.title, "id": card.arxiv}  # for the model card; TRL's own is GRPO's
        self._state: tuple[Any, ...] = self._method.signal.init()
        self._means: dict[str, Mean] = {}
        self._drift = Drift()
        rounds, data = args.refill_rounds, self.train_dataset
        examples = self._remove_unused_columns(data, description="training") if rounds else ()
        self._further = refill.PromptStream(examples, args.seed)
        # Cutting the padding before a prompt moves its positions: the same only where they are relative.
        self._relative = hasattr(self.model.config.get_text_config(), "rope_parameters")

    def _check(self) -> None:
        size, names = self.num_generations, self._rewards.names
        processes, columns = self.accelerator.num_processes, self._columns.names
        check_method(self._method, self.args, names, size, processes, columns)
        self._check_distributions(self._method)
        tools = self.environment_factories is not None
        check_data(self.train_dataset, self.args, size, images=self._is_vlm, environments=tools)

    def _beside(self) -> Learning | None:
        """The method's learner, of which every process builds the same one."""
        spec = self._method.learner
        if spec is None:
            return None
        if spec.warmup and (self.is_deepspeed_enabled or self.is_fsdp_enabled):
            raise ConfigError("warmup leaves the policy alone by taking its gradients away: not with DeepSpeed or FSDP")
        if isinstance(spec, PoolingSpec):
            self.pool = spec.pool
        size = self.model.config.get_text_config().hidden_size
        learning = Learning(spec, spec.build(size, seed=self.args.seed, device=self.accelerator.device))
        self.add_callback(learning)
        return learning

    def _weigh(self) -> None:
        """Put the weights in force into the method; they are functions of the optimisation step."""
        weights = self._rewards.weights(self.state.global_step)
        if weights == self._weights:
            return
        self._weights = weights
        self._method = self._method_of(weights)
        # What the rewards do to each other, whichever the method.
        self._conflict = Chain((GroupNormalize(), Weigh(weights), MeasureConflicts(), Sum()))
        # TRL's logged "reward" is the sum under these.
        self.reward_weights = torch.tensor([weights[name] for name in self._rewards.names])

    def _method_of(self, weights: Mapping[str, float]) -> Method:
        """The method with these weights, and with what a strategy adds to it."""
        method: Method = self.args.build(weights)
        return method

    # ---- Rollouts and their signal ----

    def _calculate_rewards(
        self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: list[list[int]]
    ) -> Tensor:
        found: Tensor = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        if len(found) % self._group_size:
            raise BatchError(
                f"{len(found)} rollouts do not make whole groups of {self._group_size}: per_device_eval_batch_size "
                "times the number of processes must be a multiple of num_generations_eval"
            )
        ends = {*self.eos_token_ids, self._tokenizer.pad_token_id}
        cut = [not ids or ids[-1] not in ends for ids in completion_ids_list]
        mine = slice(self.accelerator.process_index * len(cut), (self.accelerator.process_index + 1) * len(cut))
        statuses = self.accelerator.gather(self._rewards.statuses(found[mine]))
        self._rewards.judge(statuses)
        scores, opened = self._rewards.gates(found)
        self._facts = {
            "truncated": self.accelerator.gather(torch.tensor(cut, device=found.device)),
            "statuses": statuses,
            "gates": opened,
        }
        self._scores = scores
        self._columns.ask(self._method.needs, inputs, prompts, completions, completion_ids_list)
        log_rewards(self._metrics[self._mode], self._rewards, self._weights, statuses, opened)
        return scores

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> rows.Batch:
        training = self.model.training
        self._weigh()
        output, batch = self._sample(inputs)
        if training:
            if self.args.refill_rounds:
                output, batch = self._refill(output, batch)
            output, batch = self._rework(output, batch)
        if self._learning is not None:
            batch = self._learning.learn(batch) if training else self._learning.judge(batch)
        outcome = self._method.signal(batch, self._state)
        if training:
            self._state = outcome.state
            self._drift = Drift()  # that of the batch before has been read
            if self._learning is not None:
                self._learning.follow(batch, outcome)
            if self.args.dump is not None and self.accelerator.is_main_process:
                self._dump(batch, outcome)
        learnt = {} if self._learning is None else self._learning.metrics
        log_outcome(self._metrics[self._mode], self._logs["advantages"], outcome, self._conflict(batch), learnt)
        count, width = output["completion_ids"].shape
        mine = torch.arange(count, device=outcome.keep.device) + self.accelerator.process_index * count
        carried = push.keys(outcome, batch.groups, mine, width, self._method.objective.reads)
        if self._learning is not None and self._learning.warming_up:
            # No gradient is wanted, so no row is computed for one.
            carried["advantages"] = torch.zeros_like(carried["advantages"])
        return output | carried

    def _sample(self, inputs: list[dict[str, Any]]) -> tuple[rows.Batch, Rollouts]:
        """Responses to this process's rows, as TRL has them; and the rollouts of all processes, scored."""
        output: rows.Batch = super()._generate_and_score_completions(inputs)
        return output, self._rollouts(output)

    def _rework(self, output: rows.Batch, batch: Rollouts) -> tuple[rows.Batch, Rollouts]:
        """What a strategy makes of a generation batch before it is learnt from; both are of the same rollouts."""
        return output, batch

    def _rollouts(self, output: rows.Batch) -> Rollouts:
        """The rollouts of all processes: groups are consecutive in gathered order."""
        lengths = self.accelerator.gather(rows.loss_mask(output).sum(1))
        groups = Groups.uniform(len(lengths) // self._group_size, self._group_size)
        facts = {"lengths": lengths, **self._facts}
        if "response_mask" in self._method.needs:
            facts["response_mask"] = push.response_mask(output, self.accelerator)
        if RATIO_VARIANCE in self._method.needs:
            facts[RATIO_VARIANCE] = self._drift.column(len(lengths), lengths.device)
        if HIDDEN in output:
            facts[HIDDEN] = self.accelerator.gather(output.pop(HIDDEN))
        if self._columns.names:
            widths = self.accelerator.gather(torch.tensor([output["completion_ids"].shape[1]], device=lengths.device))
            facts |= self._columns.tensors(int(widths.max()), lengths.device)
        batch = Rollouts(self._scores, groups, self._rewards.names, facts, self._rewards.noise_floor)
        return self._with_token_facts(batch, output, self._method, self._state)

    @property
    def _group_size(self) -> int:
        size: int = self.num_generations if self.model.training else self.num_generations_eval
        return size

    def _refill(self, output: rows.Batch, batch: Rollouts) -> tuple[rows.Batch, Rollouts]:
        """Replace empty groups by groups of further prompts, while there are some and rounds are left."""
        size, device = self.num_generations, batch.rewards.device
        journal = refill.Journal(self._metrics["train"], self._logs, len(batch.groups))
        empty = first = self._empty(batch)
        rounds = 0
        while empty and rounds < self.args.refill_rounds:
            rounds += 1
            # Where tokens are scored within their group, whole groups a process.
            unit = 1 if SCORES in self._method.needs else size
            drawn = refill.fitting(len(empty), unit, self.accelerator.num_processes)
            mine = refill.share(self._further.take(drawn), size, self.accelerator)
            fresh_output, fresh = self._sample(mine)
            hollow = self._empty(fresh)
            pairs = list(zip(empty, (p for p in range(drawn) if p not in hollow), strict=False))
            to, source = refill.rows(pairs, size, device)
            output = refill.put_back(output, fresh_output, to, source, self._tokenizer.pad_token_id, self.accelerator)
            batch = refill.merge(batch, fresh, to, source)
            journal.put(to, source, drawn * size)
            empty = self._empty(batch)
        for name, number in (("empty", len(first)), ("rounds", rounds), ("left", len(empty))):
            self._metrics["train"][f"concord/refill/{name}"].append(float(number))
        return output, batch

    def _empty(self, batch: Rollouts) -> list[int]:
        judged = batch if self._learning is None else self._learning.judge(batch)
        empty: list[int] = self._method.signal(judged, self._state).empty_groups.nonzero()[:, 0].tolist()
        return empty

    # ---- The course of a training ----

    def train(self, *given: Any, **options: Any) -> Any:
        """Train as TRL does; at the end the rewards say how many of their scores were lost."""
        try:
            return super().train(*given, **options)
        finally:
            self._rewards.tell()

    def evaluate(self, *given: Any, **options: Any) -> Any:
        """Evaluate as TRL does; outside of a training, too, the rewards say how many of their scores were lost."""
        try:
            return super().evaluate(*given, **options)
        finally:
            if not self.is_in_train:
                self._rewards.tell()

    # ---- The loss ----

    def _prepare_inputs(self, generation_batch: Any) -> rows.Batch:
        held = self._buffered_inputs
        inputs: rows.Batch = super()._prepare_inputs(generation_batch)
        if not self.model.training:
            self._count([[inputs]])
        elif self._buffered_inputs is not held:
            window = self.args.gradient_accumulation_steps
            buffer = self._buffered_inputs
            self._count([buffer[i : i + window] for i in range(0, len(buffer), window)])
        return inputs

    def _count(self, windows: list[list[rows.Batch]]) -> None:
        """Give every micro-batch the denominators of its optimisation step, over all processes."""

        def counted(batch: rows.Batch) -> Tensor:
            mask, keep = rows.loss_mask(batch), batch["keep"]
            if self._method.count_dropped:
                keep = torch.ones_like(keep)
            return torch.stack([(mask & keep[:, None]).sum(), keep.sum()])

        here = torch.stack([torch.stack([counted(batch) for batch in window]).sum(0) for window in windows])
        for window, (tokens, sequences) in zip(windows, self.accelerator.reduce(here), strict=True):
            for batch in window:
                batch |= {"total_tokens": tokens, "total_sequences": sequences}

    def _compute_loss(self, model: Any, inputs: rows.Batch) -> Tensor:
        which = self._computed(inputs)
        batch = rows.chosen(inputs, which)
        batch = rows.trim(batch, prompts=self._relative, multiple=self.pad_to_multiple_of)
        mask, objective = batch["loss_mask"], self._method.objective
        logp, router, statistics = self._score(model, batch, objective.statistics)
        totals = Totals(inputs["total_tokens"], inputs["total_sequences"])
        loss, means = objective(push.policy_batch(batch, logp, objective, statistics), totals)
        tokens, reference = mask.sum(), batch.get("ref_per_token_logps")
        measured = {f"concord/objective/{name}": mean for name, mean in means.items()}
        measured["concord/computed"] = Mean(which.sum(), torch.ones_like(which).sum())
        measured["entropy"] = Mean(torch.where(mask, statistics["entropy"], 0).sum(), tokens)
        if reference is not None:
            measured["kl"] = Mean(torch.where(mask, k3(logp.detach(), reference), 0).sum(), tokens)
        self._measure(measured)
        step: Tensor = loss * self.accelerator.num_processes  # DDP and its kin take the mean over processes
        if self.aux_loss_enabled and which.any():
            passes = self.args.gradient_accumulation_steps if self.model.training else 1
            step = step + self.router_aux_loss_coef * router / passes
        return step

    def _computed(self, inputs: rows.Batch) -> Tensor:
        """``[B]`` bool: the rows of a micro-batch that go through the forward pass."""
        return rows.matter(inputs, every=self._method.objective.every_row)

    def _measure(self, means: dict[str, Mean]) -> None:
        """Add up over the micro-batches of an optimisation step, then over processes, then divide."""
        self._means = {name: self._means[name] + mean if name in self._means else mean for name, mean in means.items()}
        if not self.accelerator.sync_gradients:
            return
        here = torch.stack([torch.stack([m.total.float(), m.weight.float()]) for m in self._means.values()])
        for name, (total, weight) in zip(self._means, self.accelerator.reduce(here).tolist(), strict=True):
            if name == f"concord/objective/{RATIO_VARIANCE}" and self.model.training:
                self._drift.add(total, weight)
            # TRL leaves NaN out of its averages over steps.
            self._metrics[self._mode][name].append(total / weight if weight else math.nan)
        self._means = {}

    # ---- Logs and dumps ----

    @property
    def _mode(self) -> str:
        return "train" if self.model.training else "eval"

    def _dump(self, batch: Rollouts, outcome: Outcome) -> None:
        prompts, completions = (list(self._logs[name])[-len(batch.groups) :] for name in ("prompt", "completion"))
        write(
            self.args.dump,
            run=Path(self.args.output_dir).name,
            step=self.state.global_step,
            prompts=[text(prompt) for prompt in prompts],
            completions=[completion_text(completion) for completion in completions],
            batch=batch,
            outcome=outcome,
            unselected=self._method.signal.unselective()(batch).advantages,
            weights=self._weights,
            gated=self._rewards.gates.names,
            learner=self._learning and learner_metrics(self._method, self._learning.metrics, outcome),
            columns=self._dumped(batch),
            extra=self._extra(len(batch.groups)),
            config_hash=self.args.config_hash,
        )

    def _extra(self, count: int) -> dict[str, list[Any]]:
        """What reward functions gave beside scores for the rollouts of this step, with TRL's ``log_extra`` or so."""
        found = {name: list(self._logs["extra"][name])[-count:] for name in sorted(self._rewards.logged)}
        return {name: column for name, column in found.items() if len(column) == count}

    def _dumped(self, batch: Rollouts) -> list[str]:
        """The columns that a learner, a function of the user's or a strategy has added, one entry a rollout."""
        learnt = self._method.learner.writes if self._method.learner else frozenset()
        added = (learnt | self._columns.names | self._method.objective.reads) & batch.columns.keys()
        return sorted(name for name in added if batch.columns[name].ndim == 1)

    # ---- Checkpoints ----

    def _own_state(self) -> dict[str, Any]:
        learner = None if self._learning is None else self._learning.state()
        return {
            "signal": self._state,
            "drawn": self._further.drawn,
            "learner": learner,
            "drift": [self._drift.total, self._drift.weight],
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._state, self._further.drawn = state["signal"], state["drawn"]
        self._drift = Drift(*state["drift"])
        if self._learning is not None:
            self._learning.restore(state["learner"])
