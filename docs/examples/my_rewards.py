"""Two rewards of one's own: lists of prompts and answers in, a score in [0, 1] for each out."""


def vowels(prompts, answers):
    """How close the share of vowels is to a half."""
    shares = [sum(c in "aeiou" for c in a.lower()) / max(len(a), 1) for a in answers]
    return [1 - abs(share - 0.5) * 2 for share in shares]


def variety(prompts, answers):
    """How many different letters an answer has, of 26."""
    return [len({c for c in a.lower() if c.isalpha() and c.isascii()}) / 26 for a in answers]
