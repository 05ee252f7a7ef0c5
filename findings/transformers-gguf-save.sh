#!/usr/bin/env bash
# In transformers a model that was read from a GGUF file cannot be saved, though its weights are plain fp32
#
# Version:   transformers 5.24.0 (gguf 0.19.0, accelerate 1.15.0, torch 2.13.0, numpy 2.4.6)
# Expected:  The documentation of GGUF says that a file is dequantised to fp32 on reading, for further training, and shows
#            `save_pretrained` on the result. So a model without any quantised weight left is saved, as any other.
# Seen:      All parameters are float32, and `save_pretrained` refuses: the model "is quantized with gguf and is not
#            serializable". That is so for a file of unquantised F32 weights, too. The configuration keeps a
#            `quantization_config` that says `gguf`.
# Why:       GGUF files are how small pretrained models travel where there is no hub. A study that fine-tunes one for hours
#            learns at its first checkpoint that nothing can be kept.
# Instead:   Build a new model from the configuration without `quantization_config`, load the state dict into it, save that.
#            Its logits are the same bit by bit.
#
# Output seen:
# | F32: parameters torch.float32, marked as gguf
# | F32: save_pretrained: ValueError: The model is quantized with gguf and is not serializable
# | F32: a new model with the same state is saved, same logits: True
# | Q8_0: parameters torch.float32, marked as gguf
# | Q8_0: save_pretrained: ValueError: The model is quantized with gguf and is not serializable
# | Q8_0: a new model with the same state is saved, same logits: True
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'transformers==5.24.0' 'gguf==0.19.0' 'accelerate==1.15.0' 'torch==2.13.0' 'numpy==2.4.6'

export HF_HOME="$folder/cache" HF_HUB_OFFLINE=1
"$folder/venv/bin/python" -I - "$folder" > "$folder/seen" 2> "$folder/errors" <<'PYTHON' || { cat "$folder/errors"; exit 1; }
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM

WIDTH, INNER, WORDS = 64, 96, 64


def write(path, kind):
    writer, random = gguf.GGUFWriter(path, "llama"), np.random.default_rng(0)
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(WORDS)
    shapes = {"token_embd": (WORDS, WIDTH)}
    shapes |= {f"blk.0.attn_{name}": (WIDTH, WIDTH) for name in ("q", "k", "v", "output")}
    shapes |= {"blk.0.ffn_gate": (INNER, WIDTH), "blk.0.ffn_up": (INNER, WIDTH), "blk.0.ffn_down": (WIDTH, INNER)}
    for name, shape in shapes.items():
        packed = gguf.quants.quantize(random.normal(0, 0.1, shape).astype(np.float32), kind)
        writer.add_tensor(f"{name}.weight", packed, raw_dtype=kind)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@torch.inference_mode()
def logits(model):
    return model.eval()(input_ids=torch.arange(WORDS)[None]).logits


folder = Path(sys.argv[1])
for kind in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.Q8_0):
    write(folder / f"{kind.name}.gguf", kind)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=f"{kind.name}.gguf", dtype=torch.float32)
    (dtype,) = {parameter.dtype for parameter in model.parameters()}
    print(f"{kind.name}: parameters {dtype}, marked as {model.config.quantization_config.quant_method.value}")
    try:
        model.save_pretrained(folder / kind.name)
        print(f"{kind.name}: save_pretrained: saved")
    except ValueError as error:
        print(f"{kind.name}: save_pretrained: ValueError: {str(error).split(' - ')[0]}")
    fields = {name: value for name, value in model.config.to_dict().items() if name != "quantization_config"}
    plain = AutoModelForCausalLM.from_config(type(model.config).from_dict(fields), dtype=torch.float32)
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(folder / f"{kind.name}-plain")
    again = AutoModelForCausalLM.from_pretrained(folder / f"{kind.name}-plain", dtype=torch.float32)
    print(f"{kind.name}: a new model with the same state is saved, same logits: {torch.equal(logits(again), logits(model))}")
PYTHON

sed -n 's/^# | //p' "$0" | diff -u --label expected --label seen - "$folder/seen"
cat "$folder/seen"
