"""How fast and in how much memory a model is fine-tuned, beside Happy Transformer's own training, in one run.

Command: `python benchmarks/training.py [--json] [--quick]`. What it leaves: a table, or one JSON object with --json.
Both sides get the same model (random weights, which cost as much as any others), the same rows in the same order,
batch, learning rate, linear schedule and seed, each in a child process of its own, in turns. Theirs is
`HappyGeneration.train` as it comes; ours is `finetune`, in fp32 and, where the hardware computes in it, in bf16. A rate
is that of the median step, the first two left out; the best of the rounds counts. On a machine with other work, read
the CPU seconds of a step, with OMP_NUM_THREADS=1: a thread that waits for another counts as busy. A peak is resident
memory up to the last step, the weights' loading and all else that belongs to the path included. The held-out loss is
measured afterwards, by the same code.

`flops_share` is the share of what the hardware can multiply that 6 N + 12 L H T operations a token are
(arXiv:2204.02311, B): on a CPU of the rate of one large fp32 product, measured beforehand, on a GPU of the bf16 peak of
its data sheet. Nothing can be faster than a side by more than one over its share: where theirs multiplies most of the
time, as it does on a CPU without AVX-512, little is left to win.
Where there is a CUDA GPU, a GPT-Neo of 1.3 billion weights is trained on it as well; its peak is what torch allocated.
The large CPU models have one round: their median step spans minutes.
--quick trains little, to see that everything runs: its figures say nothing about speed.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from judging import Aim, command_line, show
from measuring import Measured, take_turns

ROOT = Path(__file__).resolve().parent.parent

BUILD = """
import json, sys, time
import torch
from tokenizers import Tokenizer, models
from transformers import GPTNeoForCausalLM, PreTrainedTokenizerFast
from tasks.modeling.base_models import SHAPES, Shape, config_of
from tasks.modeling.devices import choose_precision
from tasks.parameters import TrainingParameters
shape, folder = SHAPES.get(sys.argv[1]) or Shape(64, 1, 2, 128, 512), sys.argv[2]
torch.manual_seed(0)
model = GPTNeoForCausalLM(config_of(shape, end_of_text=0))
model.save_pretrained(folder)
# As many tokens as the model has: Happy Transformer would make the model smaller otherwise.
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
given = json.loads(sys.argv[3])
steps, batch, length, rate = (given[name] for name in ("steps", "batch", "length", "learning_rate"))
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
    # Each token follows from the one before, but for every eighth: there is something to learn.
    random = np.random.default_rng(seed)
    ids = random.integers(0, 500, (number, length), dtype=np.int32)
    for place in range(1, length):
        follows = random.random(number) < 7 / 8
        ids[:, place] = np.where(follows, (ids[:, place - 1] * 5 + 3) % 500, ids[:, place])
    return Blocks(ids, np.full(number, length, dtype=np.int32))

def theirs(train, held_out, place):
    import datasets
    from happytransformer import GENTrainArgs, HappyGeneration
    transformers.logging.set_verbosity_error()
    model = HappyGeneration(model_type="GPT-NEO", model_name=folder)
    def table(blocks):
        rows = blocks.batch(range(len(blocks)))
        rows["attention_mask"] = torch.ones_like(rows["input_ids"])
        return datasets.Dataset.from_dict({name: values.numpy() for name, values in rows.items()})
    datasets.disable_progress_bars()
    datasets.DatasetDict({"train": table(train), "eval": table(held_out)}).save_to_disk(place)
    logging.disable(logging.WARNING)
    model.train("", args=GENTrainArgs(
        load_path=place, output_dir=place + "-out", num_train_epochs=1, batch_size=batch, learning_rate=rate,
        eval_steps=0, save_steps=0, logging_steps=0,
    ))
    return model.model

def ours(train, held_out, place, bf16=False):
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
    finetune(model, train, held_out, Path(place), training=training, recipe=recipe)
    return model.model

def ours_bf16(*given):
    return ours(*given, bf16=True)

DEFAULT_CALLBACKS.append(Ticks)
train, held_out = draw(steps * batch, 1), draw(2 * batch, 2)
with tempfile.TemporaryDirectory() as scratch:
    model = globals()[side](train, held_out, scratch + "/it").eval()
assert len(times) == steps, times
loss = mean_loss(model, held_out, batch_size=batch, device=model.device)
print()
step_s, step_cpu_s = (float(np.median(np.diff(clock[1:]))) for clock in (times, cpu))
print(json.dumps({"step_s": step_s, "step_cpu_s": step_cpu_s, "peak": peaks[-1], "loss": loss}))
"""
"""Each side prints wall-clock and CPU seconds of its median step, peak memory in bytes and the last held-out loss."""

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
"""Dense bf16 operations a second by the name of the GPU, from NVIDIA's data sheets; the first that fits counts."""


class Sizes(NamedTuple):
    """One comparison: the model, what it is trained on, and how often it is measured."""

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

AIMS: list[Aim] = [
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
    """Run and print."""
    options = command_line(
        "How fast a model is fine-tuned, beside Happy Transformer's training.", quick="train little"
    ).parse_args()
    figures: dict[str, float] = {}
    for sizes in QUICK if options.quick else FULL:
        figures |= training(sizes, without_gpu=True)
    if last_line(take_turns({"probe": [sys.executable, "-c", PROBE]}, 1)["probe"][0]):
        figures |= training(GPU_QUICK if options.quick else GPU, without_gpu=False)
    show(figures, AIMS, options, digits=4)


def training(sizes: Sizes, *, without_gpu: bool) -> dict[str, float]:
    """Tokens a second, peak memory and held-out loss of each side, and how they compare."""
    python = ["env", "CUDA_VISIBLE_DEVICES=", sys.executable] if without_gpu else [sys.executable]
    with tempfile.TemporaryDirectory() as folder:
        base = str(Path(folder) / "model")
        built = last_line(take_turns({"build": [*python, "-c", BUILD, sizes.shape, base]}, 1, ROOT)["build"][0])
        sides = ["theirs", "ours", *(["ours_bf16"] if built["precision"] == "bf16" else [])]
        given = json.dumps(sizes._asdict())
        runs = take_turns({side: [*python, "-c", SIDES, side, base, given] for side in sides}, sizes.rounds, ROOT)
    figures: dict[str, float] = {}
    for side, measured in runs.items():
        figures |= {f"{sizes.name}_{side}_{what}": value for what, value in best_of(measured, sizes).items()}
    for side in sides[1:]:
        figures |= {f"{sizes.name}_{side}_{what}": value for what, value in compared(figures, sizes, side).items()}
    shares = {f"{sizes.name}_{side}_flops_share": flops_share(figures, sizes, side, built) for side in sides}
    return figures | {name: share for name, share in shares.items() if share is not None}


def best_of(runs: list[Measured], sizes: Sizes) -> dict[str, float]:
    """The best rate, the largest peak and the loss, which is that of every round."""
    found = [last_line(measured) for measured in runs]
    return {
        "tokens_per_s": sizes.batch * sizes.length / min(one["step_s"] for one in found),
        "step_cpu_s": min(one["step_cpu_s"] for one in found),
        "peak_mb": max(one["peak"] for one in found) / 1e6,
        "loss": found[0]["loss"],
    }


def compared(figures: dict[str, float], sizes: Sizes, side: str) -> dict[str, float]:
    """How many times as fast as theirs a side is, in what share of the memory, and how far from their loss it ends."""
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
    """The share of what the device can multiply that a side's operations are; None for a GPU that the table lacks."""
    peaks = (peak for name, peak in BF16_PEAKS.items() if name in built["device"])
    peak = built["cpu_flops"] if built["device"] == "cpu" else next(peaks, None)
    a_token = 6 * built["weights"] + 12 * built["layers"] * built["hidden"] * sizes.length
    return None if peak is None else figures[f"{sizes.name}_{side}_tokens_per_s"] * a_token / peak


def last_line(measured: Measured) -> Any:
    """What a child said last: Hugging Face prints before that."""
    return json.loads(measured.output.splitlines()[-1])


if __name__ == "__main__":
    main()
