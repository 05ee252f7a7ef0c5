#!/usr/bin/env bash
# In transformers a cache, a mask of ones or the architecture decides whether packed examples see each other
#
# Version:   transformers 5.24.0 (torch 2.13.0, numpy 2.4.6)
# Expected:  Two examples in one row, with `position_ids` that begin again at 0, are masked apart or they are not, by a rule
#            that does not depend on `use_cache` (nothing was cached before) nor on an `attention_mask` of ones (there is no
#            padding); and architectures that take `position_ids` follow the same rule.
# Seen:      A Llama masks the examples apart only if it is given `use_cache=False` and no attention mask. By default
#            (`use_cache=True`, in training mode as well), or with a mask of ones, the second example attends to the first. OPT
#            takes `position_ids` and never masks examples apart. There is no warning.
# Why:       Short synthetic texts are packed for speed. A training loop that leaves `use_cache` alone then trains each text
#            on unrelated ones before it, and a comparison of packed with unpacked runs, or of a Llama with an OPT, is also a
#            comparison of two conditional distributions.
# Instead:   Give `use_cache=False` and no mask, and check once that two examples in one row give the logits of the two alone.
#
# Output seen (weights are random; where logits differ, they differ by 0.1 or more, elsewhere by rounding):
# | llama, use_cache=False: second example as if alone: True
# | llama, defaults: second example as if alone: False
# | llama, defaults, training mode: second example as if alone: False
# | llama, use_cache=False, attention_mask of ones: second example as if alone: False
# | opt, use_cache=False: second example as if alone: False
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'transformers==5.24.0' 'torch==2.13.0' 'numpy==2.4.6'

export HF_HOME="$folder/cache" HF_HUB_OFFLINE=1
"$folder/venv/bin/python" -I - > "$folder/seen" <<'PYTHON'
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, OPTConfig

shape = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
configs = {
    "llama": LlamaConfig(**shape, intermediate_size=64),
    "opt": OPTConfig(**shape, ffn_dim=64, word_embed_proj_dim=32, dropout=0.0),
}


def model_of(name):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(configs[name]).eval()
    with torch.no_grad():  # freshly made models are nearly constant; larger weights let differences show
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


first, second = torch.tensor([[5, 6, 7, 8, 9]]), torch.tensor([[20, 21, 22]])
row, positions = torch.cat([first, second], dim=1), torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2]])


@torch.inference_mode()
def same(model, **options):
    alone = model(second).logits
    packed = model(row, position_ids=positions, **options).logits[:, first.shape[1] :]
    difference = (packed - alone).abs().max().item()
    assert difference < 1e-4 or difference > 0.1, difference  # rounding, or not
    return f"second example as if alone: {difference < 1e-4}"


llama, ones = model_of("llama"), torch.ones_like(row)
print("llama, use_cache=False:", same(llama, use_cache=False))
print("llama, defaults:", same(llama))
print("llama, defaults, training mode:", same(llama.train()))
print("llama, use_cache=False, attention_mask of ones:", same(llama.eval(), use_cache=False, attention_mask=ones))
print("opt, use_cache=False:", same(model_of("opt"), use_cache=False))
PYTHON

sed -n 's/^# | //p' "$0" | diff -u --label expected --label seen - "$folder/seen"
cat "$folder/seen"
