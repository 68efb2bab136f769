"""How fast and in how much memory a model is fine-tuned, beside Happy Transformer's own training, in one run.

Command: `python benchmarks/training.py [--json] [--quick]`. It prints a table, or one JSON object with --json.
Both sides get the same model (random weights, which cost as much as any others), the same rows in the same order, and
the same batch size, learning rate, linear schedule and seed. Each runs in a child process of its own, in turns.
`theirs` is `HappyGeneration.train` with its defaults; `ours` is `finetune` in fp32 and, where the hardware computes in
it, in bf16. A rate is that of the median step, without the first two; the best round counts. On a busy machine, read
the CPU seconds per step, with OMP_NUM_THREADS=1, since a thread that waits for another counts as busy. The peak is the
resident memory up to the last step, including the loading of the weights. The held-out loss is measured afterwards, by
the same code for both.

`flops_share` is the share of the hardware's peak that 6 N + 12 L H T operations per token amount to (arXiv:2204.02311,
appendix B). On a CPU the peak is the rate of one large fp32 product, measured beforehand; on a GPU it is the bf16 peak
of its data sheet. Nothing can be faster than a side by more than 1 / share. Where `theirs` multiplies most of the time,
as on a CPU without AVX-512, little can be gained.
On a CUDA GPU a GPT-Neo with 1.3 billion weights is trained as well; its peak is the memory that torch allocated.
The large CPU models have one round, since their median step covers minutes.
With --quick the figures say nothing about speed.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from judging import Target, command_line, show
from measuring import Measured, measure, take_turns

BUILD = """
import json, sys, time
import torch
from tokenizers import Tokenizer, models
from transformers import GPTNeoForCausalLM, PreTrainedTokenizerFast
from tasks.modeling.base_models import SHAPES, Shape, make_config
from tasks.modeling.devices import choose_precision
from tasks.parameters import TrainingParameters
shape, folder = SHAPES.get(sys.argv[1]) or Shape(64, 1, 2, 128, 512), sys.argv[2]
torch.manual_seed(0)
model = GPTNeoForCausalLM(make_config(shape, end_of_text=0))
model.save_pretrained(folder)
# As many tokens as the model has embeddings: otherwise Happy Transformer would shrink the model.
tokens = Tokenizer(models.BPE({f"<{number}>": number for number in range(shape.vocabulary)}, []))
PreTrainedTokenizerFast(tokenizer_object=tokens, eos_token="<0>", pad_token="<0>").save_pretrained(folder)
cuda = torch.cuda.is_available()
left, right = torch.randn(2, 2048, 2048)
ends = [time.monotonic() for _ in range(12) if left @ right is not None]
print(json.dumps({
    "cpu_flops": 2 * 2048**3 / min(after - before for before, after in zip(ends, ends[1:])),
    "precision": choose_precision(TrainingParameters()),
    "device": torch.cuda.get_device_name() if cuda else "cpu",
    "weights": model.num_parameters(),
    "layers": model.config.num_layers,
    "hidden": model.config.hidden_size,
}))
"""

PROBE = "import json, torch; print(json.dumps(torch.cuda.is_available()))"

SIDES = """
import json, logging, resource, sys, tempfile, time
from pathlib import Path
import numpy as np
import torch
import transformers
from transformers.trainer import DEFAULT_CALLBACKS
from tasks.modeling.blocks import Blocks
from tasks.modeling.loss import mean_loss

side, folder = sys.argv[1], sys.argv[2]
sizes = json.loads(sys.argv[3])
steps, batch, length, rate = sizes["steps"], sizes["batch"], sizes["length"], sizes["learning_rate"]
cuda = torch.cuda.is_available()
times, cpu, peaks = [], [], []

class Ticks(transformers.TrainerCallback):
    def on_step_end(self, *_, **__):
        if cuda:
            torch.cuda.synchronize()
        times.append(time.monotonic())
        cpu.append(time.process_time())
        system = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        peaks.append(torch.cuda.max_memory_allocated() if cuda else system)

def draw(number, seed):
    # Seven of eight tokens are a function of the previous one, so that there is something to learn.
    random = np.random.default_rng(seed)
    ids = random.integers(0, 500, (number, length), dtype=np.int32)
    for position in range(1, length):
        follows = random.random(number) < 7 / 8
        ids[:, position] = np.where(follows, (ids[:, position - 1] * 5 + 3) % 500, ids[:, position])
    return Blocks(ids, np.full(number, length, dtype=np.int32))

def theirs(train, held_out, path):
    import datasets
    from happytransformer import GENTrainArgs, HappyGeneration
    transformers.logging.set_verbosity_error()
    model = HappyGeneration(model_type="GPT-NEO", model_name=folder)
    def table(blocks):
        rows = blocks.batch(range(len(blocks)))
        rows["attention_mask"] = torch.ones_like(rows["input_ids"])
        return datasets.Dataset.from_dict({name: values.numpy() for name, values in rows.items()})
    datasets.disable_progress_bars()
    datasets.DatasetDict({"train": table(train), "eval": table(held_out)}).save_to_disk(path)
    logging.disable(logging.WARNING)
    model.train("", args=GENTrainArgs(
        load_path=path, output_dir=path + "-out", num_train_epochs=1, batch_size=batch, learning_rate=rate,
        eval_steps=0, save_steps=0, logging_steps=0,
    ))
    return model.model

def ours(train, held_out, path, bf16=False):
    from tasks.modeling.finetuning import finetune
    from tasks.modeling.happy import TunableGeneration
    from tasks.modeling.recipes import choose_recipe
    from tasks.parameters import TrainingParameters
    training = TrainingParameters(
        num_train_epochs=1, batch_size=batch, learning_rate=rate, lr_scheduler_type="linear", warmup_ratio=0,
        eval_steps=steps, bf16=bf16,
    )
    model = TunableGeneration("GPT-NEO", folder)
    recipe = choose_recipe(training, preset=None, blocks=len(train))
    finetune(model, train, held_out, Path(path), training=training, recipe=recipe)
    return model.model

def ours_bf16(train, held_out, path):
    return ours(train, held_out, path, bf16=True)

DEFAULT_CALLBACKS.append(Ticks)
train, held_out = draw(steps * batch, 1), draw(2 * batch, 2)
with tempfile.TemporaryDirectory() as scratch:
    model = globals()[side](train, held_out, scratch + "/run").eval()
assert len(times) == steps, times
loss = mean_loss(model, held_out, batch_size=batch, device=model.device)
print()
step_s, step_cpu_s = (float(np.median(np.diff(clock[1:]))) for clock in (times, cpu))
print(json.dumps({"step_s": step_s, "step_cpu_s": step_cpu_s, "peak": peaks[-1], "loss": loss}))
"""
"""Each side prints wall-clock and CPU seconds of its median step, peak memory in bytes and the final held-out loss."""

BF16_PEAKS = {
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "H200": 989e12,
    "GH200": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10G": 70e12,
    "RTX 4090": 165e12,
}
"""Dense bf16 operations per second by the name of the GPU, from NVIDIA's data sheets; the first match counts."""


class Sizes(NamedTuple):
    """One comparison: the model, its training data, and the number of rounds."""

    name: str
    shape: str
    batch: int
    length: int
    learning_rate: float
    steps: int
    rounds: int


FULL = (
    Sizes("tiny", "scratch-tiny", batch=16, length=128, learning_rate=1e-3, steps=20, rounds=5),
    Sizes("125m_512", "scratch-125m", batch=2, length=512, learning_rate=5e-5, steps=20, rounds=1),
    Sizes("125m_1024", "scratch-125m", batch=1, length=1024, learning_rate=5e-5, steps=20, rounds=1),
)
QUICK = (Sizes("quick", "least", batch=4, length=32, learning_rate=1e-3, steps=6, rounds=1),)
GPU = Sizes("gpu_1.3b", "scratch-1.3b", batch=2, length=2048, learning_rate=5e-5, steps=20, rounds=2)
GPU_QUICK = Sizes("gpu_quick", "scratch-tiny", batch=2, length=512, learning_rate=5e-5, steps=6, rounds=1)

TARGETS: list[Target] = [
    ("tiny_ours_times_theirs", "at least", 1.5),
    ("125m_512_ours_times_theirs", "at least", 1.6),
    ("125m_512_ours_bf16_times_theirs", "at least", 4.5),
    ("125m_1024_ours_times_theirs", "at least", 1.6),
    ("125m_1024_ours_bf16_times_theirs", "at least", 4.5),
    *((f"{sizes.name}_ours_share_of_their_peak", "at most", 1.0) for sizes in FULL),
    *((f"{sizes.name}_ours_loss_apart", "at most", 1e-3) for sizes in FULL),
    (f"{GPU.name}_ours_bf16_times_theirs", "at least", 8),
    (f"{GPU.name}_ours_bf16_flops_share", "at least", 0.5),
]


def main() -> None:
    """Run all comparisons and print the figures."""
    options = command_line("How fast a model is fine-tuned.", quick="train a tiny model for few steps").parse_args()
    figures: dict[str, float] = {}
    for sizes in QUICK if options.quick else FULL:
        figures |= training(sizes, without_gpu=True)
    if measure([sys.executable, "-c", PROBE]).result:
        figures |= training(GPU_QUICK if options.quick else GPU, without_gpu=False)
    show(figures, TARGETS, options, digits=4)


def training(sizes: Sizes, *, without_gpu: bool) -> dict[str, float]:
    """Return tokens per second, peak memory and held-out loss of each side, and how they compare."""
    python = ["env", "CUDA_VISIBLE_DEVICES=", sys.executable] if without_gpu else [sys.executable]
    with tempfile.TemporaryDirectory() as folder:
        base = str(Path(folder) / "model")
        built = measure([*python, "-c", BUILD, sizes.shape, base]).result
        sides = ["theirs", "ours", *(["ours_bf16"] if built["precision"] == "bf16" else [])]
        arguments = [base, json.dumps(sizes._asdict())]
        runs = take_turns({side: [*python, "-c", SIDES, side, *arguments] for side in sides}, sizes.rounds)
    figures: dict[str, float] = {}
    for side, measured in runs.items():
        figures |= {f"{sizes.name}_{side}_{what}": value for what, value in best_of(measured, sizes).items()}
    for side in sides[1:]:
        figures |= {f"{sizes.name}_{side}_{what}": value for what, value in compared(figures, sizes, side).items()}
    shares = {f"{sizes.name}_{side}_flops_share": flops_share(figures, sizes, side, built) for side in sides}
    return figures | {name: share for name, share in shares.items() if share is not None}


def best_of(runs: list[Measured], sizes: Sizes) -> dict[str, float]:
    """Return the best rate, the largest peak and the loss, which is the same in every round."""
    found = [measured.result for measured in runs]
    return {
        "tokens_per_s": sizes.batch * sizes.length / min(one["step_s"] for one in found),
        "step_cpu_s": min(one["step_cpu_s"] for one in found),
        "peak_mb": max(one["peak"] for one in found) / 1e6,
        "loss": found[0]["loss"],
    }


def compared(figures: dict[str, float], sizes: Sizes, side: str) -> dict[str, float]:
    """Return the speed and the memory of a side relative to Happy Transformer, and the distance of their losses."""
    ours, theirs = (
        {what: figures[f"{sizes.name}_{one}_{what}"] for what in ("tokens_per_s", "step_cpu_s", "peak_mb", "loss")}
        for one in (side, "theirs")
    )
    return {
        "times_theirs": ours["tokens_per_s"] / theirs["tokens_per_s"],
        "times_theirs_by_cpu_s": theirs["step_cpu_s"] / ours["step_cpu_s"],
        "share_of_their_peak": ours["peak_mb"] / theirs["peak_mb"],
        "loss_apart": abs(ours["loss"] - theirs["loss"]),
    }


def flops_share(figures: dict[str, float], sizes: Sizes, side: str, built: dict[str, Any]) -> float | None:
    """Return the share of the device's peak that a side reaches; None for a GPU that is not in the table."""
    peaks = (peak for name, peak in BF16_PEAKS.items() if name in built["device"])
    peak = built["cpu_flops"] if built["device"] == "cpu" else next(peaks, None)
    operations_per_token = 6 * built["weights"] + 12 * built["layers"] * built["hidden"] * sizes.length
    return None if peak is None else figures[f"{sizes.name}_{side}_tokens_per_s"] * operations_per_token / peak


if __name__ == "__main__":
    main()
