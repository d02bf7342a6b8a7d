"""What analysing a text needs."""

from tests.journeys.checks.world import World, expect


def analysis(world: World) -> None:
    """A text has a sentiment, entities and key phrases, each of which is asked for by itself."""
    found = world.owner.call("POST", "/analyze", {"text": "A wonderful evening in Paris."})
    expect(found["sentiment"]["sentiment"] == "POSITIVE", "its sentiment is known")
    expect([entity["text"] for entity in found["entities"]] == ["Paris"], "what it names is known")
    expect("wonderful evening" in [phrase["text"] for phrase in found["key_phrases"]], "what it is about is known")
