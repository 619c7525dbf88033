"""Goldens of the T5 encoder: transformers' T5EncoderModel on padded, masked batches."""
import math

import torch
from transformers import T5Config, T5EncoderModel

import common

CASES = {
    "narrow": dict(d_model=32, d_kv=8, num_heads=4, d_ff=48, num_layers=2, vocab_size=64),
    "inner_unlike_width": dict(d_model=48, d_kv=16, num_heads=2, d_ff=40, num_layers=3, vocab_size=100),
}
LENGTHS = {"narrow": [1, 7, 33, 20], "inner_unlike_width": [130, 2, 64]}


def ids_of(length, vocabulary, seed):
    u = common.uniform(seed, length)
    ids = [int((float(x) + 1) / 2 * (vocabulary - 3)) + 3 for x in u[:-1]]
    return ids + [1]


def main():
    common.prepare()
    cases, outputs = [], {}
    for number, (name, sizes) in enumerate(CASES.items()):
        config = T5Config(**sizes, feed_forward_proj="gated-gelu", tie_word_embeddings=False, dropout_rate=0.0)
        model = T5EncoderModel(config).eval()

        def scales(key, shape):
            if key.endswith("shared.weight"):
                return (math.sqrt(3.0), 0.0)
            if "relative_attention_bias" in key:
                return (2.0, 0.0)
            if ".q.weight" in key:  # there is no scale on q·k
                return (math.sqrt(3.0 / shape[1] / sizes["d_kv"]), 0.0)
            return None

        tensors = common.fill(model, 100 + number, scales, skip=("encoder.embed_tokens.weight",))
        prompts = [ids_of(n, sizes["vocab_size"], 7 + i) for i, n in enumerate(LENGTHS[name])]
        longest = max(map(len, prompts))
        ids = torch.tensor([p + [0] * (longest - len(p)) for p in prompts])
        mask = torch.tensor([[1] * len(p) + [0] * (longest - len(p)) for p in prompts])
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
        for i, p in enumerate(prompts):
            outputs[f"{name}.{i}"] = hidden[i, : len(p)].contiguous()
        saved = {"architectures": ["T5EncoderModel"], "model_type": "t5", "feed_forward_proj": "gated-gelu",
                 "layer_norm_epsilon": 1e-6, "relative_attention_num_buckets": 32,
                 "relative_attention_max_distance": 128, **sizes}
        cases.append({"name": name, "stem": "model", "config": saved, "ids": prompts, "tensors": tensors})
    common.write("t5", {"cases": cases}, outputs)


if __name__ == "__main__":
    main()
