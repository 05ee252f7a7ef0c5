"""Prompts through a tokenizer's chat template: the frame around a message, and items within it."""

import pyarrow as pa
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'lm'")

from crossfeed.errors import InvalidInput  # noqa: E402
from crossfeed.learners.language.chat import chat_frame  # noqa: E402
from crossfeed.learners.language.tokens import ItemTokenizer  # noqa: E402

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] | trim }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
PROMPTS = ["Question: 1 + 1?\nAnswer:", " spaces at both ends ", "", "user message", "{{ not a template }}"]


def tokenizer(template=TEMPLATE):
    """A byte-level tokenizer that puts a start token before each text by itself, as Llama 3's does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<|end|>", "<|begin|>", "<|user|>", "<|assistant|>"]
    words = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    made = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, []))
    made.add_special_tokens(special)
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|end|>", bos_token="<|begin|>")
    fast.chat_template = template
    return fast


def items(completion=" 2."):
    return pa.table({"prompt": PROMPTS, "completion": [completion] * len(PROMPTS)})


def test_the_frame_is_what_the_template_puts_around_a_message():
    assert chat_frame(tokenizer()) == ("<|begin|><|user|>\n", "<|end|>\n<|assistant|>\n")


def test_a_prompt_stands_in_the_frame_as_it_is_written_and_begins_once():
    coder = ItemTokenizer(tokenizer(), chat=True)
    for prompt, ids in zip(PROMPTS, coder.prompts(items(), 200), strict=True):
        assert coder.tokenizer.decode(ids) == f"<|begin|><|user|>\n{prompt}<|end|>\n<|assistant|>\n"
        assert list(ids).count(1) == 1


def test_items_are_the_frame_the_completion_and_the_end():
    coder = ItemTokenizer(tokenizer(), chat=True)
    for prompt, example in zip(PROMPTS, coder.examples(items(), 200), strict=True):
        assert coder.tokenizer.decode(example.ids[: example.prompt]).endswith(f"{prompt}<|end|>\n<|assistant|>\n")
        assert coder.tokenizer.decode(example.ids[example.prompt :]) == " 2.<|end|>"


def test_a_completion_has_the_same_tokens_plain_and_in_a_chat():
    plain, chat = (ItemTokenizer(tokenizer(), chat=chat) for chat in (False, True))
    for one, other in zip(plain.examples(items(), 200), chat.examples(items(), 200), strict=True):
        assert list(one.ids[one.prompt :]) == list(other.ids[other.prompt :])
        assert other.prompt > one.prompt


def test_lengths_count_the_frame():
    plain, chat = (ItemTokenizer(tokenizer(), chat=chat).prompt_lengths(items()) for chat in (False, True))
    assert set(chat - plain) == {len("\n") + len("\n") * 2 + 3}


def test_what_is_plain_does_not_ask_for_a_template():
    assert ItemTokenizer(tokenizer("")).prompts(items(), 200)[2].tolist() == [1]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("", "needs a tokenizer with a chat template"),
        ("{{ raise_exception('only a system may speak') }}", "cannot be used .*only a system may speak"),
        ("{{ messages[0]['content'] }}{{ messages[0]['content'] }}", "shows the user's message 2 times"),
        ("{{ 'hello' }}", "shows the user's message 0 times"),
        ("{{ messages[0]['content']", "cannot be used"),
    ],
)
def test_templates_that_cannot_be_used(template, message):
    with pytest.raises(InvalidInput, match=message):
        ItemTokenizer(tokenizer(template), chat=True)
