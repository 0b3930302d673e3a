"""Stands in for a model and adapters of your own: a tiny Qwen3 from its configuration alone.

Writes base/ (random weights, a tokenizer of bytes) and three LoRA adapters, adapter-a to adapter-c.
"""

import torch
import transformers
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

letters = sorted(pre_tokenizers.ByteLevel.alphabet())
words = {"<pad>": 0, "<|im_end|>": 1} | {letter: i + 2 for i, letter in enumerate(letters)}
byte_level = Tokenizer(models.BPE(words, []))
byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
byte_level.decoder = decoders.ByteLevel()
tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=byte_level, pad_token="<pad>", eos_token="<|im_end|>"
)
tokenizer.chat_template = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
config = transformers.Qwen3Config(
    vocab_size=len(words),
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    eos_token_id=1,
    pad_token_id=0,
    initializer_range=0.2,
)
torch.manual_seed(0)
base = transformers.Qwen3ForCausalLM(config)
base.save_pretrained("base")
tokenizer.save_pretrained("base")
for name in ("a", "b", "c"):
    lora = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(transformers.Qwen3ForCausalLM.from_pretrained("base"), lora)
    with torch.no_grad():
        for parameter_name, parameter in adapted.named_parameters():
            if "lora_B" in parameter_name:
                parameter.normal_(0, 0.2)
    adapted.save_pretrained(f"adapter-{name}")
