"""From a conversation to tokens and text."""
