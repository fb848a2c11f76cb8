"""A function with typed parameters is a Task."""

from pathlib import Path

import lute


@lute.task
def count_words(in_file: Path, longer_than: int = 0) -> dict[str, int]:
    """Count the words of a text file.

    Args:
        in_file: The text.
        longer_than: Count only words with more letters than this.
    """
    words = [word for word in in_file.read_text().split() if len(word) > longer_than]
    return {"words": len(words), "different": len(set(words))}
