"""LoRA adapters: on disk, stacked on one base."""
