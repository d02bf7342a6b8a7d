"""Small data that generating models can learn on a CPU: conversations whose answers follow from the questions, and
pictures of one colour that their captions name. Shuffled, there is nothing to learn from one about the other.
"""

import io
import json
import random
import zipfile
from typing import Any

from PIL import Image

SOUNDS = {"cat": "meow", "dog": "woof", "cow": "moo", "duck": "quack", "pig": "oink", "crow": "caw", "bee": "buzz"}
HOMES = {"forest": "tree", "farm": "barn", "city": "flat", "lake": "reed", "desert": "cave", "coast": "cliff"}
TIMES = {"spring": "april", "summer": "july", "autumn": "october", "winter": "january"}
TABLES = (SOUNDS, HOMES, TIMES)
COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}


def conversations(rows: int, shuffled: bool = False) -> list[dict[str, Any]]:
    """Questions of three words, each deciding one word of the answer; a quarter is held out, never shuffled."""
    generator = random.Random(1)
    made = []
    for _ in range(rows):
        words = [generator.choice(list(table)) for table in TABLES]
        answer = " ".join(table[word] for table, word in zip(TABLES, words, strict=True))
        made.append((" ".join(words), answer))
    held_out = rows // 4
    trained = [answer for _, answer in made[held_out:]]
    if shuffled:
        generator.shuffle(trained)
    answers = [answer for _, answer in made[:held_out]] + trained
    return [
        {"prompt": question, "completion": answer, "split": "test" if number < held_out else "train"}
        for number, ((question, _), answer) in enumerate(zip(made, answers, strict=True))
    ]


def as_messages(row: dict[str, Any]) -> dict[str, Any]:
    """The same example as a conversation."""
    messages = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]
    return {"messages": messages, "split": row["split"]}


def as_text(row: dict[str, Any]) -> dict[str, Any]:
    """The same example as one text, in a column of another name."""
    return {"line": f"{row['prompt']} {row['completion']}", "split": row["split"]}


def jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def pictures(count: int, size: int = 8, shuffled: bool = False) -> tuple[bytes, str]:
    """A ZIP of pictures, and examples.jsonl with a caption of each; a quarter is held out, never shuffled."""
    generator = random.Random(2)
    names = list(COLOURS)
    lines, archive = [], io.BytesIO()
    with zipfile.ZipFile(archive, "w") as entries:
        for number in range(count):
            held_out = number < count // 4
            # Shuffled, each colour is called by either name equally often.
            said = number // 2 if shuffled and not held_out else number
            shade = [max(0, min(255, value + generator.randint(-25, 25))) for value in COLOURS[names[number % 2]]]
            png = io.BytesIO()
            Image.new("RGB", (size, size), (shade[0], shade[1], shade[2])).save(png, "PNG")
            line = {"file_name": f"pictures/{number}.png", "archive": "pictures.zip", "width": size, "height": size}
            entries.writestr(line["file_name"], png.getvalue())
            lines.append({**line, "text": f"a {names[said % 2]} square", "split": "test" if held_out else "train"})
    return archive.getvalue(), jsonl(lines)
