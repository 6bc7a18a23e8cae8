"""A random model of the llama architecture, made in a moment: a foreign server's real file format, gibberish inside."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

WIDTH, FEED, LAYERS, HEADS, KV_HEADS = 64, 128, 2, 4, 2
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)


def byte_tokens() -> list[str]:
    """One token a byte, in the alphabet of byte-level BPE: printable bytes as themselves, the others from 256 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte if byte in printable else 256 + others.index(byte)) for byte in range(256)]


def write_random_model(path: Path, seed: int) -> None:
    """Another seed is another model. It says only printable ASCII."""
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    tokens = SPECIAL + byte_tokens()
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL] * len(SPECIAL) + [gguf.TokenType.NORMAL] * 256)
    writer.add_token_merges(["! !"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for name, tensor in tensors(rng, len(tokens)):
        writer.add_tensor(f"{name}.weight", tensor.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors(rng: np.random.Generator, vocabulary: int):
    def scaled(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape) / np.sqrt(shape[-1])

    output = rng.standard_normal((vocabulary, WIDTH)) / 4
    first, last = len(SPECIAL) + ord(" "), len(SPECIAL) + 127
    output[:first] = output[last:] = 0
    yield "output", output
    yield "output_norm", np.ones(WIDTH)
    yield "token_embd", scaled(vocabulary, WIDTH)
    kv_width = WIDTH * KV_HEADS // HEADS
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        yield f"{block}.attn_norm", np.ones(WIDTH)
        yield f"{block}.ffn_norm", np.ones(WIDTH)
        yield f"{block}.attn_q", scaled(WIDTH, WIDTH)
        yield f"{block}.attn_k", scaled(kv_width, WIDTH)
        yield f"{block}.attn_v", scaled(kv_width, WIDTH)
        yield f"{block}.attn_output", scaled(WIDTH, WIDTH)
        yield f"{block}.ffn_gate", scaled(FEED, WIDTH)
        yield f"{block}.ffn_up", scaled(FEED, WIDTH)
        yield f"{block}.ffn_down", scaled(WIDTH, FEED)
