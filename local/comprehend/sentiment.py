"""Sentiment by counting: words of the lists, turned by negations, made more or less of by words before them."""

from local.comprehend.lexicon import Lexicon, Token, lexicon

NAMES = ("Positive", "Negative", "Neutral", "Mixed")
REACH = 3  # words over which a negation or an intensifier reaches, within a clause
REACH_BACK = {"de": 4}  # where a negation may also follow what it denies: "ich mag es nicht"
CLAUSE_ENDS = frozenset(".,;:!?…()\n。，！？、")
STRONGER, WEAKER = 1.6, 0.5
DENIED_PRAISE, DENIED_BLAME = 0.9, 0.4  # "not good" is nearly bad, "not bad" is not yet good
NOTHING_FOUND = 0.35  # what speaks for neutral in any text, beside the words of its lists
FLOOR = 0.01
NO_LIST = {"Positive": 0.2, "Negative": 0.2, "Neutral": 0.4, "Mixed": 0.2}  # a guess, and scored as one


def scores(text: str, language: str) -> dict[str, float]:
    """Return the four scores of a text, which add up to 1."""
    known = lexicon(language)
    if not known.known:
        return dict(NO_LIST)
    praise, blame = weights(text, known)
    both = min(praise, blame)
    found = {
        "Positive": praise - both,
        "Negative": blame - both,
        "Neutral": NOTHING_FOUND,
        "Mixed": 1.2 * both,
    }
    total = sum(found.values()) + FLOOR * len(found)
    return {name: (value + FLOOR) / total for name, value in found.items()}


def prevailing(found: dict[str, float]) -> str:
    """Return the name of the highest score as Comprehend spells it."""
    return max(NAMES, key=lambda name: found[name]).upper()


def weights(text: str, known: Lexicon) -> tuple[float, float]:
    """Return how much praise and how much blame the words of a text make."""
    praise = blame = 0.0
    for clause in clauses(text, known):
        for index, token in enumerate(clause):
            good, bad = token.word in known.positive, token.word in known.negative
            if good == bad:
                continue
            weight, denied = context(clause, index, known)
            if denied:
                good, weight = bad, weight * (DENIED_PRAISE if good else DENIED_BLAME)
            praise, blame = (praise + weight, blame) if good else (praise, blame + weight)
    return praise, blame


def context(clause: list[Token], index: int, known: Lexicon) -> tuple[float, bool]:
    """Return what the words around one make of its weight, and whether they deny it."""
    before = [token.word for token in clause[max(0, index - REACH) : index]]
    after = [token.word for token in clause[index + 1 : index + 1 + REACH_BACK.get(known.language, 0)]]
    weight = 1.0
    if any(word in known.intensifiers for word in before):
        weight = STRONGER
    elif any(word in known.weakeners for word in before):
        weight = WEAKER
    return weight, any(word in known.negations for word in [*before, *after])


def clauses(text: str, known: Lexicon) -> list[list[Token]]:
    """Return the words of a text, clause by clause."""
    found: list[list[Token]] = [[]]
    last = 0
    for token in known.tokens(text):
        if not CLAUSE_ENDS.isdisjoint(text[last : token.begin]):
            found.append([])
        found[-1].append(token)
        last = token.end
    return found
