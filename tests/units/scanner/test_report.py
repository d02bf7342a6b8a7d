"""A report is small, whatever a file makes the scanner say."""

import json

from lambdas.scanner.report import MOST_BYTES, Examination, FileReport


def test_a_report_is_cut_to_what_a_workflow_carries_and_keeps_the_worst():
    found = Examination("text", metadata={"dependencies": ["package" * 28] * 200, "num_parameters": 7})
    for place in range(100):
        found.info("much", f"{place} " + "\N{PILE OF POO}" * 300)
    found.malicious("import", "It would call os.system.")
    report = FileReport("model.pkl", None, found).to_json()
    assert len(json.dumps(report)) <= MOST_BYTES
    assert report["verdict"] == "malicious"
    assert report["findings"][0]["message"] == "It would call os.system."
    assert report["metadata"] == {"num_parameters": 7}
    assert len(found.metadata["dependencies"]) == 200  # the examination itself is left alone


def test_a_report_of_ordinary_size_is_whole():
    found = Examination("text", metadata={"dependencies": ["numpy==2.0"]})
    for place in range(20):
        found.info("note", f"Note {place}.")
    report = FileReport("requirements.txt", None, found).to_json()
    assert len(report["findings"]) == 20
    assert report["metadata"] == {"dependencies": ["numpy==2.0"]}
