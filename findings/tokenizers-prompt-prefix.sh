#!/usr/bin/env bash
# The tokens of a prompt are not the first tokens of the text that it begins, also where no token crosses its end
#
# Version:   tokenizers 0.23.3
# Expected:  If no token of a text spans the end of its prompt, the text's first tokens are those of the prompt alone: code
#            that masks the prompt's part of a loss, or cuts a completion off, finds the boundary from the offsets.
# Seen:      With GPT-2's pre-tokenizer (ByteLevel) a prompt that ends in a space and a line break ends in one piece, " \n";
#            in the text, where a word follows, the same two characters are two pieces, " " and "\n". All offsets respect
#            the boundary, and yet a model that is given the prompt reads another sequence than it was trained on.
# Why:       Prompts of data sets end in such white space ("Answer: \n"). A model that is trained on whole texts and then
#            asked to complete prompts is asked something that it has never seen, and no check of offsets tells.
# Instead:   Compare the tokens themselves: those of the prompt alone with as many first ones of the text.
#
# Output seen:
# | alone  ['Q', ':', 'Ġ\n'] -> 'Q: \n'
# | within ['Q', ':', 'Ġ', '\n', 'yes'] -> 'Q: \nyes'
# | offsets within: [(0, 1), (1, 2), (2, 3), (3, 4), (4, 7)]; the prompt has 4 characters, so none crosses its end
# | first tokens of the text are those of the prompt: False
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'tokenizers==0.23.3'

export HF_HOME="$folder/cache" HF_HUB_OFFLINE=1
"$folder/venv/bin/python" -I - > "$folder/seen" <<'PYTHON'
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
trainer = trainers.BpeTrainer(
    vocab_size=300, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
)
tokenizer.train_from_iterator(["Q: \n", "yes"] * 50, trainer)
prompt, completion = "Q: \n", "yes"


def spelled(encoding):
    """Tokens with the byte alphabet's sign for a line break as a line break."""
    return [token.replace("Ċ", "\n") for token in encoding.tokens]


alone, within = tokenizer.encode(prompt), tokenizer.encode(prompt + completion)
print("alone ", spelled(alone), "->", repr(prompt))
print("within", spelled(within), "->", repr(prompt + completion))
crossing = any(first < len(prompt) < last for first, last in within.offsets)
what = "one crosses its end" if crossing else "so none crosses its end"
print(f"offsets within: {within.offsets}; the prompt has {len(prompt)} characters, {what}")
print("first tokens of the text are those of the prompt:", within.ids[: len(alone.ids)] == alone.ids)
PYTHON

sed -n 's/^# | //p' "$0" | diff -u --label expected --label seen - "$folder/seen"
cat "$folder/seen"
