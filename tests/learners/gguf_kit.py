"""A tiny Llama as a GGUF file, written with the package gguf, with quantised weights and a chat template."""

import numpy as np

TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] | trim }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
WIDTH, INNER, HEADS, LAYERS = 64, 96, 4, 2


def alphabet():
    """The byte-level alphabet of GPT-2's tokenizer."""
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def write_gguf(path, *, architecture="llama", template=TEMPLATE, without=(), quantised="Q4_1"):
    """Write the file; returns the weights as they are once dequantised, by name."""
    import gguf

    kind = gguf.GGMLQuantizationType[quantised]
    writer = gguf.GGUFWriter(path, architecture)
    words = [*alphabet(), "<|end|>", "<|start|>"]
    merges = ["t h", "th e", "Ġ a", "Ġ t"]
    words += [merge.replace(" ", "") for merge in merges]
    writer.add_name("tiny")
    writer.add_block_count(LAYERS)
    writer.add_context_length(256)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(words)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if word.startswith("<|") else gguf.TokenType.NORMAL for word in words]
    )
    writer.add_token_merges(merges)
    writer.add_eos_token_id(words.index("<|end|>"))
    writer.add_bos_token_id(words.index("<|start|>"))
    writer.add_pad_token_id(words.index("<|end|>"))
    writer.add_add_bos_token(False)
    if template:
        writer.add_chat_template(template)
    random, weights = np.random.default_rng(0), {}

    def matrix(name, *shape):
        if name in without:
            return
        exact = random.normal(0, 0.1, shape).astype(np.float32)
        packed = gguf.quants.quantize(exact, kind)
        weights[name] = gguf.quants.dequantize(packed, kind)
        writer.add_tensor(f"{name}.weight", packed, raw_dtype=kind)

    def vector(name):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))

    matrix("token_embd", len(words), WIDTH)
    vector("output_norm")
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            vector(f"blk.{layer}.{name}")
        matrix(f"blk.{layer}.attn_q", WIDTH, WIDTH)
        matrix(f"blk.{layer}.attn_k", WIDTH // 2, WIDTH)
        matrix(f"blk.{layer}.attn_v", WIDTH // 2, WIDTH)
        matrix(f"blk.{layer}.attn_output", WIDTH, WIDTH)
        matrix(f"blk.{layer}.ffn_gate", INNER, WIDTH)
        matrix(f"blk.{layer}.ffn_up", INNER, WIDTH)
        matrix(f"blk.{layer}.ffn_down", WIDTH, INNER)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights
