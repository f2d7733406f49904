"""One YAML file: what it may say, and how a wrong one is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from concord.core.errors import ConfigError
from concord.recipes.builtin import TASKS
from concord.run.config import RunConfig, load_config
from concord.run.paths import model_source, shipped_recipes
from concord.run.rewards import build_rewards

MINIMAL = """\
model: some/model
method: gd2po
data: {path: rows.jsonl}
rewards:
  correctness: {path: my_rewards.py:correctness}
  length: {path: concord.rewards.toolrl:length, weight: 0.5}
out: runs/first
"""


@pytest.fixture
def run_yaml(tmp_path: Path) -> Path:
    (tmp_path / "run.yaml").write_text(MINIMAL)
    return tmp_path / "run.yaml"


def weights(config: RunConfig) -> dict[str, Any]:
    return {name: reward.weight for name, reward in config.rewards.items()}


def load_text(folder: Path, text: str, *overrides: str) -> RunConfig:
    (folder / "run.yaml").write_text(text)
    return load_config(folder / "run.yaml", overrides)


def test_the_defaults(run_yaml: Path) -> None:
    config = load_config(run_yaml)
    assert (config.seed, config.refill_rounds, config.engine, config.peft) == (0, 0, {}, None)
    assert (config.method.name, config.method.parameters) == ("gd2po", {})
    assert (config.data.split, config.data.prompt, config.data.answer, config.data.size) == (
        "train",
        "prompt",
        "answer",
        None,
    )
    assert weights(config) == {"correctness": 1.0, "length": 0.5}
    assert list(config.rewards) == ["correctness", "length"]


def test_paths_start_at_the_files_folder(run_yaml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run_yaml.parent
    (folder / "elsewhere").mkdir()
    (folder / "tiny").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    config = load_config("../run.yaml")
    assert config.out == folder / "runs/first"
    assert config.data.path == str(folder / "rows.jsonl")
    assert config.rewards["correctness"].path == f"{folder}/my_rewards.py:correctness"
    assert config.rewards["length"].path == "concord.rewards.toolrl:length"
    assert load_text(folder, MINIMAL + "columns: {answers: my.py:last, tag: a.module:tag}").columns == {
        "answers": f"{folder}/my.py:last", "tag": "a.module:tag",
    }  # fmt: skip
    assert config.model == "some/model"
    assert load_config("../run.yaml", ["model=tiny"]).model == "tiny"  # no such folder here: an id on the hub
    assert load_text(folder, MINIMAL.replace("some/model", "tiny")).model == str(folder / "tiny")


def test_paths_in_overrides_start_at_the_working_directory(run_yaml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = run_yaml.parent / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    config = load_config(run_yaml, ["out=second", "data.path=other.parquet", "model=./tiny"])
    assert (config.out, config.data.path, config.model) == (here / "second", f"{here}/other.parquet", f"{here}/tiny")


def test_named_rewards_are_loaded(run_yaml: Path) -> None:
    (run_yaml.parent / "my_rewards.py").write_text("def correctness(completions, **_): return [1.0]")
    correctness, length = load_config(run_yaml).named_rewards()
    assert (correctness.name, correctness.source.target(completions=["a"])) == ("correctness", [1.0])
    assert (length.name, length.weight) == ("length", 0.5)


def test_overrides(run_yaml: Path) -> None:
    config = load_config(
        run_yaml,
        [
            "method.tau=0.5",
            "engine.learning_rate=1e-6",
            "engine.save_strategy=no",
            "engine.report_to=[]",
            "data.eval.split=train[90%:]",
            "data.split=train[:90%]",
            "rewards.length.weight=-2",
            "seed=3",
            "seed=4",
        ],
    )
    assert config.method.parameters == {"tau": 0.5}
    assert config.engine == {"learning_rate": 1e-6, "save_strategy": "no", "report_to": []}
    assert config.data.eval is not None
    assert (config.data.eval.path, config.data.eval.split) == (config.data.path, "train[90%:]")
    assert (weights(config)["length"], config.seed) == (-2.0, 4)
    assert load_config(run_yaml, ["method={name: dapo, clip_high: 0.3}"]).method.name == "dapo"


def test_an_override_of_an_anchors_copy_leaves_the_anchor(tmp_path: Path) -> None:
    text = MINIMAL.replace("{path: my_rewards.py:correctness}", "&r {path: a:f}")
    text = text.replace("{path: concord.rewards.toolrl:length, weight: 0.5}", "*r")
    assert weights(load_text(tmp_path, text, "rewards.length.weight=3")) == {"correctness": 1.0, "length": 3.0}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "'seed' is no override; write key=value"),
        ("=3", "'=3' is no override"),
        ("engine..lr=3", "is no override"),
        ("seed.sub=3", "seed is 0 and has no keys"),
        ("seed=[1", "the value is not YAML"),
        ("seed=!!python/name:os.system", "the value is not YAML"),
        ("sede=1", "sede: unknown key; did you mean 'seed'"),
    ],
)
def test_an_override_that_will_not_do(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_text(tmp_path, MINIMAL + "seed: 0\n", override)


MISSPELT = {
    "top": ("sed=1", r"sed: unknown key; did you mean 'seed'\?"),
    "reward": ("rewards.length.wieght=1", r"rewards\.length\.wieght: unknown key; did you mean 'weight'\?"),
    "data": ("data.promt=x", r"data\.promt: unknown key; did you mean 'prompt'\?"),
    "eval": ("data.eval={splitt: test}", r"data\.eval\.splitt: unknown key; did you mean 'split'\?"),
    "method": ("method.tua=0.5", r"method\.tua: unknown key; did you mean 'tau'\?"),
    "engine": ("engine.learning_rat=1", r"engine\.learning_rat: unknown key; did you mean 'learning_rate'\?"),
    "peft": ("peft.lora_alhpa=1", r"peft\.lora_alhpa: unknown key; did you mean 'lora_alpha'\?"),
    "nothing near": ("rewards.length.zzz=1", r"rewards\.length\.zzz: unknown key$"),
}


@pytest.mark.parametrize(("override", "message"), MISSPELT.values(), ids=MISSPELT.keys())
def test_a_misspelt_key_names_the_nearest(override: str, message: str, run_yaml: Path) -> None:
    with pytest.raises(ConfigError, match=rf"run\.yaml: {message}"):
        load_config(run_yaml, [override])


WRONG = {
    "unknown method": ("method=gd2p", r"method\.name: no method 'gd2p'; did you mean 'gd2po'"),
    "method parameter out of range": ("method.tau=7", r"method: gd2po: .*tau"),
    "method parameter of a wrong type": ("method.tau=high", r"method\.tau: must be a number, got 'high'"),
    "method without a name": ("method={tau: 0.5}", r"method\.name: is required and not there"),
    "weights in the method": ("method.weights={length: 2}", r"method\.weights: .* rewards\.<name>\.weight"),
    "weight not finite": ("rewards.length.weight=.nan", r"rewards\.length\.weight: .*finite"),
    "weight infinite": ("rewards.length.weight=-.inf", r"rewards\.length\.weight: .*finite"),
    "weight not a number": (
        "rewards.length.weight=big",
        r"rewards\.length\.weight: the weight must be a number, got 'big'",
    ),
    "reward without a path": ("rewards.third={}", r"rewards\.third: give one of path, url, model and judge"),
    "reward name": ("rewards={a b: {path: m:f}}", r"rewards\.a b: a reward's name is made of letters"),
    "no rewards": ("rewards={}", r"rewards: .*at least 1 item"),
    "output_dir": ("engine.output_dir=x", r"engine\.output_dir: is set by out"),
    "engine seed": ("engine.seed=1", r"engine\.seed: is set by seed"),
    "reward_weights": ("engine.reward_weights=[1]", r"engine\.reward_weights: is set by rewards"),
    "size": ("data.size=0", r"data\.size: .*greater than or equal to 1 \(got 0\)"),
    "size not whole": ("data.size=2.5", r"data\.size: "),
    "eval on the training rows": ("data.eval={size: 8}", r"data\.eval: reads the rows that are trained on"),
    "seed": ("seed=-1", r"seed: "),
    "seed not a number": ("seed=true", r"seed: .*\(got True\)"),
    "refill rounds": ("refill_rounds=-1", r"refill_rounds: "),
    "no out": ("out=", r"out: "),
    "empty out": ("out=''", r"out: name the run folder"),
    "empty model": ("model=''", r"model: "),
    "switch as text": (
        "engine.mask_truncated_completions=no",
        r"engine\.mask_truncated_completions: must be true or false, got 'no', .* write false",
    ),
    "number as text": ("engine.max_steps=two", r"engine\.max_steps: must be a whole number, got 'two'"),
    "no such optimiser": ("engine.optim=adamm", r"engine\.optim: must be one of adamw_torch, .* did you mean 'ada"),
    "adapter's switch": ("peft={use_dora: yes}", r"peft\.use_dora: must be true or false, got 'yes', .* write true"),
    "weights all 0": ("rewards={a: {path: m:f, weight: 0}}", r"rewards: every weight is 0, so nothing would be learnt"),
    "schedules all 0": (
        "rewards={a: {path: m:f, weight: {from: 0, to: 0, steps: 3}}, b: {path: m:g, weight: {0: 0, 9: 0}}}",
        r"rewards: every weight is 0, so nothing would be learnt; give one of a, b another weight",
    ),
    "engine no mapping": ("engine=fast", r"engine: .*\(got 'fast'\)"),
}


@pytest.mark.parametrize(("override", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_value_says_where_and_what(override: str, message: str, run_yaml: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(run_yaml, [override])


def test_weights_that_become_something_only_after_the_end(run_yaml: Path) -> None:
    late = "rewards={a: {path: m:f, weight: {from: 0, to: 1, steps: 5, after: 10}}}"
    with pytest.raises(ConfigError, match="rewards: every weight is 0 for all 11 steps"):
        load_config(run_yaml, [late, "engine.max_steps=11"])
    assert load_config(run_yaml, [late, "engine.max_steps=12"])
    assert load_config(run_yaml, [late])


def test_a_fault_in_the_file_has_its_line_and_one_of_the_command_line_has_none(tmp_path: Path) -> None:
    text = MINIMAL + "engine:\n  bf16: maybe\nseed: 0\n"
    with pytest.raises(ConfigError, match=r"run\.yaml:9: engine\.bf16: must be true or false or null, got 'maybe'"):
        load_text(tmp_path, text)
    with pytest.raises(ConfigError, match=r"run\.yaml: engine\.bf16: must be true or false or null, got 'perhaps'"):
        load_text(tmp_path, text, "engine.bf16=perhaps")
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text, "seed=-1", "engine.optim=adamm")
    assert "line 9: engine.bf16: " in str(caught.value)
    assert "\n  seed: " in str(caught.value)
    assert "\n  engine.optim: " in str(caught.value)
    with pytest.raises(ConfigError, match=r"run\.yaml:6: rewards\.length\.wieght: unknown key; did you mean 'weight'"):
        load_text(tmp_path, MINIMAL.replace("weight", "wieght"))


def test_variables_and_home_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWS", str(tmp_path / "rows"))
    monkeypatch.setenv("WHICH", "a$b")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NOWHERE", raising=False)
    text = MINIMAL.replace("rows.jsonl", "$ROWS/x.jsonl, eval: {path: ~/y.jsonl}").replace(
        "runs/first", "runs/${WHICH}"
    )
    config = load_text(tmp_path, text, "rewards.length.path=${ROWS}/r.py:f", "model=$ROWS/cost$$")
    assert (config.data.path, config.out) == (f"{tmp_path}/rows/x.jsonl", tmp_path / "runs" / "a$b")
    assert config.data.eval is not None
    assert config.data.eval.path == f"{tmp_path}/home/y.jsonl"
    assert config.rewards["length"].path == f"{tmp_path}/rows/r.py:f"
    assert config.model == f"{tmp_path}/rows/cost$"
    (tmp_path / "again").mkdir()
    assert load_text(tmp_path / "again", config.to_yaml()) == config  # a dollar sign is no variable the second time
    with pytest.raises(ConfigError, match=r"run\.yaml: out: the environment has no variable NOWHERE"):
        load_text(tmp_path, MINIMAL.replace("runs/first", "runs/$NOWHERE"))
    with pytest.raises(ConfigError, match=r"override out: the environment has no variable NOWHERE"):
        load_text(tmp_path, MINIMAL, "out=$NOWHERE")
    with pytest.raises(ConfigError, match=r"data\.path: .* write \$\$ for a dollar sign"):
        load_text(tmp_path, MINIMAL, "data.path=cost$/x.jsonl")


SECRET = """
  judge: {url: "http://me:pass-11@host/x?api_key=query-22&n=1", options: {headers: {Authorization: Bearer head-33}}}
  named: {url: "http://host/?token=env:A_TOKEN", options: {headers: {X-Key: env:A_TOKEN}}}
"""


def test_secrets_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "real-44")
    text = MINIMAL.replace("out:", SECRET.strip("\n") + "\nengine: {hub_token: hub-55}\nout:")
    config = load_text(tmp_path, text)
    written = config.to_yaml()
    assert not any(secret in written for secret in ("pass-11", "query-22", "head-33", "real-44", "hub-55"))
    assert "X-Key: env:A_TOKEN" in written
    assert "n=1" in written
    (tmp_path / "again").mkdir()
    again = load_text(tmp_path / "again", written)
    assert again.model_dump() == config.model_dump()  # so that --resume knows the run
    build_rewards({"named": again.rewards["named"]})
    with pytest.raises(ConfigError, match=r"reward 'judge': url: a secret was left out here .* env:NAME"):
        build_rewards({"judge": again.rewards["judge"]})
    monkeypatch.delenv("A_TOKEN")
    with pytest.raises(ConfigError, match=r"reward 'named': url: env:A_TOKEN names a variable .* not set"):
        build_rewards({"named": config.rewards["named"]})


def test_all_faults_are_told_at_once(run_yaml: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(run_yaml, ["seed=-1", "data.size=0", "rewards.length.wieght=1"])
    assert all(where in str(caught.value) for where in ("seed:", "data.size:", "rewards.length.wieght:"))


def test_a_required_key_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="out: is required and not there"):
        load_text(tmp_path, MINIMAL.replace("out: runs/first\n", ""))


def test_a_reward_name_used_twice(tmp_path: Path) -> None:
    text = MINIMAL.replace("  length:", "  correctness:")
    with pytest.raises(ConfigError, match="the key 'correctness' stands twice, on lines 5 and 6"):
        load_text(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "model: [",
        "- a list",
        "just text",
        "",
        "model: a\n---\nmodel: b\n",
        "model: !!python/object/apply:os.system [true]",
        "model: !!python/name:os.system",
        "? [a, b]\n: c\n",
        "&a [*a]",
        "[" * 2000,
        "model: \x00",
    ],
)
def test_a_file_that_is_no_configuration(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"run\.yaml:(\d+:\d+:)? "):
        load_text(tmp_path, text)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_bytes(b"\xff\xfe\x00model")
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        load_config(tmp_path / "run.yaml")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no file .*tool_caling; did you mean 'tool_calling'\?; recipes that ship"):
        load_config("tool_caling")
    with pytest.raises(ConfigError, match="no file"):
        load_config(tmp_path / "tool_calling.yaml")  # of the recipe's name, in a folder that was meant


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_every_recipe_that_ships_is_valid(name: str) -> None:
    config = load_config(name)
    assert config == load_config(f"recipes/{name}.yaml")
    # A model of one's own is not there yet.
    shipped = {key: reward for key, reward in config.rewards.items() if reward.model is None}
    assert len(build_rewards(shipped)) == len(shipped)


def test_the_papers_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    three, two = load_config("tool_calling"), load_config("tool_calling_two_rewards")
    assert weights(three) == {"correctness": 1.0, "format": 1.0, "length": 1.0}
    assert weights(two) == {"correctness": 1.0, "length": 1.0}
    assert three.out == tmp_path / "runs/tool_calling"  # a recipe's paths start where one stands
    for config in (three, two):
        assert (config.method.name, config.method.parameters["tau"]) == ("gd2po", 0.8)
        assert config.data.answer == "reward_model.ground_truth"
        assert config.data.max_prompt_tokens == 2048
        engine = config.engine
        rollouts = engine["per_device_train_batch_size"] * engine["gradient_accumulation_steps"]
        assert engine["generation_batch_size"] / engine["num_generations"] == 512
        assert rollouts / engine["num_generations"] == 128
        assert (engine["learning_rate"], engine["beta"], engine["max_completion_length"]) == (1e-6, 0.0, 1024)
    assert {**three.engine} == {**two.engine}


def test_trl_takes_the_recipes_options(tmp_path: Path) -> None:
    from trl import GRPOConfig

    args = GRPOConfig(
        output_dir=str(tmp_path),
        bf16=False,
        use_cpu=True,
        activation_checkpointing=True,
        **load_config("tool_calling").engine,
    )
    assert args.steps_per_generation == 4 * args.gradient_accumulation_steps  # four updates a batch


def test_the_resolved_file_gives_an_equal_configuration(tmp_path: Path, run_yaml: Path) -> None:
    overrides = ["method.tau=0.5", "engine.generation_kwargs={a: '1e-6', b: 'no', c: 'null'}", "peft.r=4"]
    config = load_config(run_yaml, [*overrides, "data.eval.path=other.json", "seed=7"])
    (tmp_path / "again").mkdir()
    assert load_text(tmp_path / "again", config.to_yaml()) == config


def test_models(tmp_path: Path) -> None:
    assert model_source("some/model") == "some/model"
    assert model_source(str(tmp_path)) == str(tmp_path)
    with pytest.raises(ConfigError, match=r"no folder .*gone"):
        model_source(str(tmp_path / "gone"))
    for unknown in ("builtin:tool_tusk/seed0", "builtin:tool_task", "builtin:tool_task/seedx"):
        with pytest.raises(ConfigError, match="does not ship; write builtin:tool_task/seed0"):
            model_source(unknown)
    for task in TASKS:
        assert (Path(model_source(f"builtin:{task}/seed1")) / "config.json").is_file()
        with pytest.raises(ConfigError, match=f"model: 'builtin:{task}/seed9': no base model with seed 9; .* 0, 1"):
            model_source(f"builtin:{task}/seed9")


def test_half_a_surrogate_pair_in_a_key_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="half of a surrogate pair"):
        load_text(tmp_path, MINIMAL + 'engine: {"\\ud800": 1}\n')
