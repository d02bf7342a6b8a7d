"""Generated reviews: one word of each says what its class is, the others say nothing."""

import csv
import io
import random

GOOD = ("good", "great", "excellent", "wonderful", "lovely", "superb")
BAD = ("bad", "awful", "poor", "terrible", "dreadful", "weak")
OTHER = (
    *("the", "film", "was", "a", "story", "with", "actor", "and", "scene", "of", "music", "plot"),
    *("very", "quite", "rather", "it", "seems"),
)


def reviews(rows: int = 320, seed: int = 0, *, shuffled: bool = False) -> str:
    """A CSV of text and label; `shuffled`, the labels belong to other texts, and there is nothing to learn."""
    random_ = random.Random(seed)
    labels = [random_.choice(("positive", "negative")) for _ in range(rows)]
    texts = [review(random_, label) for label in labels]
    if shuffled:
        random_.shuffle(labels)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(("text", "label"))
    writer.writerows(zip(texts, labels, strict=True))
    return table.getvalue()


def review(random_: random.Random, label: str) -> str:
    words = random_.choices(OTHER, k=random_.randint(4, 14))
    words.insert(random_.randrange(len(words)), random_.choice(GOOD if label == "positive" else BAD))
    return " ".join(words)
