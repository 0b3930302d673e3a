"""A user's weights from a few answers to "which of these two do you prefer?"."""
