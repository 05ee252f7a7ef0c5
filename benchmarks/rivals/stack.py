"""The Hugging Face stack: `generate` of transformers, TRL's `SFTTrainer`, and its evaluation.

How it is set up, and where that departs from defaults:

- generating: prompts in order of length, padded on the left, ``do_sample`` at temperature 1 from the whole vocabulary
  (``top_k=0``, ``top_p=1``; the default of 50 tokens would be another distribution), the dynamic cache or the static
  one, whichever is faster, at the fastest batch size and with the faster of the two attention implementations that
  run on a CPU (``sdpa``, ``eager``). ``generate_batch`` (continuous batching) is made for accelerators: on a CPU it
  took forty times as long as `generate` for the same prompts, and is left out.
- training: a new `SFTTrainer` for every update, as its documentation has it. Examples are token ids already
  (``skip_prepare_dataset``), so that it neither tokenises nor maps anything. Batches are the drawn ones in drawn order
  (``train_sampling_strategy="sequential"``), padded to their longest example; TRL documents packing and padding-free
  batches for FlashAttention alone, which is no CPU's, and packing makes other batches. Fused AdamW
  (``adamw_torch_fused``) with the run's rate, betas, epsilon and decay, constant rate after the run's warmup, gradients
  clipped at the run's norm, one process and no gathering. Where TRL's defaults cost time or change results they are set
  as crossfeed has them: ``bf16=False``, ``gradient_checkpointing=False``, constant schedule, one epoch. Nothing is
  logged or saved; no progress bars; no data loader processes and no pinned memory, which cost time at this size. No
  torch.compile: a graph takes longer to compile than an update lasts.
  What stays is TRL's own and has no switch: losses in chunks that the backward pass computes again, entropy and
  accuracy of every step, a garbage collection when training begins.
- evaluating: `SFTTrainer.evaluate` on every task's test texts, in order of length, loss alone, at the fastest batch
  size.
- processes and threads: two processes of one thread, an entity each, or one process of two threads, whichever is
  faster. The allocator and OpenMP are left as they are.

Models and human data are in memory, as tokens, before a clock starts; what was generated goes on as tokens.
"""

from __future__ import annotations

import logging
import math
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence

from rivals.work import Ids, Work

Answer = dict[int, dict]


@dataclass(frozen=True)
class Training:
    """The run's own numbers (see `crossfeed.learners.language.settings.TrainingSettings`)."""

    batch_size: int
    learning_rate: float
    warmup: float
    weight_decay: float
    betas: tuple[float, float]
    epsilon: float
    clipping: float
    new_tokens: int

    def warmup_steps(self, steps: int) -> int:
        """Steps over which the rate rises."""
        return min(math.ceil(self.warmup * steps), steps - 1)


@dataclass(frozen=True)
class Setup:
    """What is searched for."""

    generate_batch: int = 128
    generate_attention: str = "sdpa"
    cache: str = "dynamic"
    train_attention: str = "sdpa"
    evaluate_batch: int = 32


class Stack:
    """Some entities' models, and what is done with them."""

    def __init__(self, entities: list[int], training: Training) -> None:
        from datasets import disable_progress_bars
        from transformers.utils import logging as transformers_logging

        warnings.simplefilter("ignore", FutureWarning)  # TRL's own name for activation checkpointing is an old one
        disable_progress_bars()
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        logging.getLogger("accelerate").setLevel(logging.ERROR)
        self._entities, self._training = entities, training
        self._folder = tempfile.TemporaryDirectory()

    def prepare(self, folders: Sequence[Path], work: Work) -> None:
        """Read the models and lay the data out; not timed."""
        from datasets import Dataset
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._work = work
        self._tokenizer = AutoTokenizer.from_pretrained(folders[0])
        self._models = {
            entity: AutoModelForCausalLM.from_pretrained(folders[entity], dtype=torch.float32)
            for entity in self._entities
        }
        self._tests = {
            name: Dataset.from_dict({"input_ids": sorted(rows, key=len)}) for name, rows in work.tests.items()
        }

    def publish(self, setup: Setup, whole: bool) -> dict[int, dict[int, Ids]]:
        """Complete prompts: of each own author the texts by item, as token ids with the end of text.

        Args:
            setup: How.
            whole: The whole pool, or only what some training set holds.
        """
        found = {}
        for author in self._entities:
            prompts = self._work.prompts[author]
            asked = range(len(prompts)) if whole else self._work.drawn[author]
            found[author] = self._complete(author, {item: prompts[item] for item in asked}, setup)
        return found

    def _complete(self, author: int, prompts: dict[int, Ids], setup: Setup) -> dict[int, Ids]:
        from transformers import GenerationConfig

        model, tokenizer = self._models[author].eval(), self._tokenizer
        model.set_attn_implementation(setup.generate_attention)
        model.config.use_cache = True
        how = GenerationConfig(
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            max_new_tokens=self._training.new_tokens,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            cache_implementation="static" if setup.cache == "static" else None,
        )
        order = sorted(prompts, key=lambda item: len(prompts[item]))
        texts: dict[int, Ids] = {}
        for first in range(0, len(order), setup.generate_batch):
            rows = order[first : first + setup.generate_batch]
            ids = [torch.tensor(prompts[row]) for row in rows]
            padded = pad_sequence(ids, batch_first=True, padding_value=tokenizer.pad_token_id, padding_side="left")
            mask = pad_sequence([torch.ones_like(each) for each in ids], batch_first=True, padding_side="left")
            new = model.generate(input_ids=padded, attention_mask=mask, generation_config=how)[:, padded.shape[1] :]
            for row, line in zip(rows, new.tolist(), strict=True):
                stop = line.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in line else len(line)
                texts[row] = [*prompts[row], *line[:stop]]
        return texts

    def learn(self, setup: Setup, pool: dict[int, dict[int, Ids]]) -> Answer:
        """Train and evaluate each own entity; seconds, steps and tokens."""
        found = {}
        for entity in self._entities:
            rows = [pool[item[0]][item[1]] if isinstance(item, tuple) else item for item in self._work.sets[entity]]
            begun = time.perf_counter()
            trainer, made = self._train(entity, rows, setup)
            trained = time.perf_counter()
            losses = {name: trainer.evaluate(tests)["eval_loss"] for name, tests in self._tests.items()}
            found[entity] = {
                "made": made - begun,
                "train": trained - begun,
                "evaluate": time.perf_counter() - trained,
                "steps": trainer.state.global_step,
                "tokens": sum(len(row) - 1 for row in rows),
                "losses": losses,
            }
        return found

    def train(self, setup: Setup) -> Answer:
        """Train each own entity on a set that holds tokens alone; seconds, those of making the trainer apart."""
        found = {}
        for entity in self._entities:
            begun = time.perf_counter()
            _, made = self._train(entity, self._work.sets[entity], setup)
            found[entity] = {"made": made - begun, "train": time.perf_counter() - begun}
        return found

    def loop(self, setup: Setup) -> Answer:
        """The same by a plain PyTorch loop over the same model: padded batches, fused AdamW, clipping."""
        from rivals.loop import train

        found = {}
        for entity in self._entities:
            begun = time.perf_counter()
            self._models[entity].set_attn_implementation(setup.train_attention)
            train(self._models[entity], self._work.sets[entity], self._training, self._tokenizer.pad_token_id)
            found[entity] = {"train": time.perf_counter() - begun}
        return found

    def save(self, folder: Path) -> None:
        """Write the models, to see that they learnt what the others did."""
        for entity in self._entities:
            self._models[entity].save_pretrained(folder / str(entity))

    def _train(self, entity: int, rows: list[Ids], setup: Setup):
        """A trainer that has trained, and when it was made."""
        from datasets import Dataset
        from transformers.trainer_callback import PrinterCallback
        from trl import SFTConfig, SFTTrainer

        how, model = self._training, self._models[entity]
        model.set_attn_implementation(setup.train_attention)
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(
                output_dir=self._folder.name,
                num_train_epochs=1,
                per_device_train_batch_size=how.batch_size,
                gradient_accumulation_steps=1,
                per_device_eval_batch_size=setup.evaluate_batch,
                learning_rate=how.learning_rate,
                lr_scheduler_type="constant_with_warmup",
                warmup_steps=how.warmup_steps(math.ceil(len(rows) / how.batch_size)),
                optim="adamw_torch_fused",
                weight_decay=how.weight_decay,
                adam_beta1=how.betas[0],
                adam_beta2=how.betas[1],
                adam_epsilon=how.epsilon,
                max_grad_norm=how.clipping,
                bf16=False,
                gradient_checkpointing=False,
                use_cpu=True,
                packing=False,
                dataset_kwargs={"skip_prepare_dataset": True},
                train_sampling_strategy="sequential",
                dataloader_num_workers=0,
                dataloader_pin_memory=False,
                eval_strategy="no",
                logging_strategy="no",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_dict({"input_ids": rows}),
            processing_class=self._tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        made = time.perf_counter()
        trainer.train()
        return trainer, made
