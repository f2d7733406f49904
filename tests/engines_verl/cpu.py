"""verl on CPU, for tests only: a platform without an accelerator, and a rollout engine on ``transformers.generate``.

verl imports this through ``VERL_USE_EXTERNAL_MODULES=tests.engines_verl.cpu``. Nothing of verl is changed: a platform,
a rollout and a replica are entered where it takes them from other packages. FSDP2 works on CPU over gloo, under verl's
own switch ``VERL_ENGINE_DEVICE=cuda``.
"""

from __future__ import annotations

import asyncio
import contextlib
import types

import ray
import torch
from verl.plugin.platform import PlatformBase, set_platform


class Device(types.ModuleType):
    """``torch.cpu`` with the functions of ``torch.cuda`` that verl calls on its device module."""

    def __getattr__(self, name: str):
        if hasattr(torch.cpu, name):
            return getattr(torch.cpu, name)
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: 0

    def mem_get_info(self, *_):
        return 1, 1

    def get_device_name(self, *_):
        return "CPU"


class CpuPlatform(PlatformBase):
    """One "GPU" for Ray is one process on the CPU."""

    device_name, vendor_name, device_module = "cpu", "tests", Device("cpu")

    def is_available(self):
        return True

    def current_device(self):
        return torch.device("cpu")

    def device_count(self):
        return 1

    def set_device(self, device_index):
        pass

    def synchronize(self, device_index=None):
        pass

    def manual_seed(self, seed):
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    def set_allocator_settings(self, settings):
        pass

    def empty_cache(self):
        pass

    def get_device_capability(self, device_index=0):
        return None, None

    def communication_backend_name(self):
        return "gloo"

    def visible_devices_envvar(self):
        return "CUDA_VISIBLE_DEVICES"

    def nvtx_range(self, msg):
        return contextlib.nullcontext()

    def profiler_start(self):
        pass

    profiler_stop = profiler_start

    def ray_resource_name(self):
        return "GPU"

    def ray_noset_envvars(self):
        return []

    def is_ipc_supported(self):
        return False

    def cudart(self):
        return None


set_platform(CpuPlatform())

_init_process_group = torch.distributed.init_process_group


def _one_gloo(backend=None, **options):
    """verl asks for "cpu:gloo,<its device>:<its backend>", which here names the CPU twice."""
    return _init_process_group("gloo" if backend == "cpu:gloo,cpu:gloo" else backend, **options)


torch.distributed.init_process_group = _one_gloo

from verl.workers.rollout import base, replica  # noqa: E402 only now: they ask for the platform

NAME = "hf_{}"


@ray.remote(num_cpus=0)
class Server:
    """One replica: a model that generates for one request at a time."""

    def __init__(self, path: str, limit: int) -> None:
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(1)
        self.model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
        self.limit, self.steps = limit, 0

    async def generate(self, request_id, *, prompt_ids, sampling_params, **_):
        await asyncio.sleep(0)
        prompt = torch.tensor([prompt_ids])
        temperature = sampling_params.get("temperature", 1.0)
        options = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
        made = self.model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=self.limit,
            return_dict_in_generate=True,
            output_logits=True,
            **options,
        )
        ids = made.sequences[0, prompt.shape[1] :]
        logits = torch.cat(made.logits) / (temperature or 1.0)
        return replica.TokenOutput(
            token_ids=ids.tolist(),
            log_probs=logits.log_softmax(-1).gather(1, ids[:, None])[:, 0].tolist(),
            stop_reason="completed",
            extra_fields={"global_steps": self.steps},
        )

    async def load(self, weights, steps):
        self.model.load_state_dict(weights, strict=False)
        self.steps = steps

    async def control(self, *_, **__):
        """Sleeping, waking and clearing caches mean nothing here."""

    wake_up = sleep = abort_all_requests = resume_generation = clear_kv_cache = control
    release_kv_cache = resume_kv_cache = start_profile = stop_profile = control


class Replica(replica.RolloutReplica):
    async def launch_servers(self):
        model = self.model_config.path
        name = NAME.format(self.replica_rank)
        self._server_handle = Server.options(name=name).remote(model, self.config.response_length)
        self._server_address = name
        self.servers = [self._server_handle]


class Adapter(base.BaseRollout):
    """In the training worker: sends its weights to the replica of its rank."""

    async def resume(self, tags):
        pass

    async def release(self):
        pass

    async def update_weights(self, weights, global_steps=None, **_):
        server = ray.get_actor(NAME.format(torch.distributed.get_rank()))
        state = {name: tensor.detach().float().clone() for name, tensor in weights}
        await server.load.remote(state, global_steps)


base._ROLLOUT_REGISTRY["hf", "async"] = f"{__name__}.Adapter"
replica.RolloutReplicaRegistry.register("hf", lambda: Replica)
