"""A reward of one's own: lists of prompts and answers in, a score in [0, 1] for each out."""


def vowels(prompts, answers):
    """How close the share of vowels is to a half."""
    scores = []
    for answer in answers:
        share = sum(letter in "aeiou" for letter in answer.lower()) / max(len(answer), 1)
        scores.append(1 - 2 * abs(share - 0.5))
    return scores
