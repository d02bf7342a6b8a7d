"""Datasets of recordings, as files and in ZIPs: figures, examples and defects against what was put into them.

Run: python -m pytest tests/units/processing/test_media.py
"""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import pytest
import soundfile

from lambdas.processing.process import process
from lambdas.processing.report import Report
from lambdas.processing.source import local_file
from tests.units.processing.recordings import audio, sound, video

WAV, FLAC, MP3 = (audio(format, sound(0.5, channels=2), 16000) for format in ("WAV", "FLAC", "MP3"))


def read(folder: Path, type: str, format: str, files: dict[str, bytes]) -> Report:
    """Process files that are put into a folder."""
    (folder / "files").mkdir()
    (folder / "output").mkdir()
    for name, data in files.items():
        (folder / "files" / name).write_bytes(data)
    return process([local_file(folder / "files" / name) for name in files], type, format, folder / "output")


def lines(folder: Path) -> list[dict[str, Any]]:
    """The examples that processing left."""
    text = (folder / "output/examples/examples.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def zipped(members: Mapping[str, bytes | str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


@pytest.mark.parametrize("format", ["wav", "flac", "mp3"])
def test_audio_files_are_reported_as_libsndfile_knows_them(tmp_path: Path, format: str) -> None:
    kinds = [(8000, 1, 0.5), (16000, 2, 1.25), (16000, 1, 3.0), (44100, 2, 0.75)]
    files = {
        f"{number}.{format}": audio(format.upper(), sound(seconds, rate, channels, seed=number), rate)
        for number, (rate, channels, seconds) in enumerate(kinds)
    }
    truth = [soundfile.info(io.BytesIO(data)) for data in files.values()]
    files[f"silence.{format}"] = audio(format.upper(), sound(2) * 0, 16000)
    truth.append(soundfile.info(io.BytesIO(files[f"silence.{format}"])))
    files[f"again.{format}"] = files[f"0.{format}"]
    truth.append(truth[0])
    files[f"cut.{format}"] = files[f"1.{format}"][:-500]
    files[f"nothing.{format}"] = b""

    report = read(tmp_path, "audio", format, files)

    media, seconds = report.media, [one.duration for one in truth]
    assert media and media.duration and report.refused is None
    assert (report.rows, report.layout, report.duplicates) == (6, "files", 1)
    assert (media.count, media.corrupt, media.duplicates) == (6, 2, 1)
    assert media.seconds == pytest.approx(sum(seconds), rel=1e-12)
    assert (media.duration.min, media.duration.max) == (min(seconds), max(seconds))
    assert media.duration.mean == pytest.approx(sum(seconds) / 6, rel=1e-12)
    assert media.formats == {format.upper(): 6}
    assert media.sample_rates == {"16000": 3, "8000": 2, "44100": 1}
    assert media.channels == {"1": 4, "2": 2}
    assert media.frame_rates == media.sizes == {}
    assert [(column.name, column.type, column.distinct) for column in report.columns] == [("file_name", "file", 6)]
    assert [(one.code, one.count, one.examples) for one in report.defects] == [
        ("corrupt_media", 2, [f"cut.{format}", f"nothing.{format}"])
    ]
    assert f"the first of them cut.{format}: it is cut off" in report.defects[0].message
    assert [(line["file_name"], line["seconds"]) for line in lines(tmp_path)] == [
        (name, one.duration) for name, one in zip(files, truth, strict=False)
    ]
    assert set(lines(tmp_path)[0]) == {"file_name", "seconds"}


def test_videos_are_reported_as_ffmpeg_knows_them(tmp_path: Path) -> None:
    made: dict[str, dict[str, Any]] = {
        "a.mp4": {"rate": "30000/1001", "layout": "mono"},
        "b.mp4": {"rate": "25", "frames": 50, "size": (320, 240), "codec": "libx264"},
        "c.mp4": {"rate": "25", "layout": "stereo", "sample_rate": 48000, "flags": "faststart"},
    }
    files = {name: video(tmp_path, **options) for name, options in made.items()}
    files["cut.mp4"] = files["b.mp4"][:-1000]
    seconds = {}
    for name in made:
        with av.open(io.BytesIO(files[name]), "r") as file:
            stream = file.streams.video[0]
            assert stream.duration and stream.time_base
            seconds[name] = float(stream.duration * stream.time_base)

    report = read(tmp_path, "video", "mp4", files)

    media = report.media
    assert media and report.rows == media.count == 3
    assert media.seconds == pytest.approx(sum(seconds.values()))
    assert media.frame_rates == {"25": 2, "29.97": 1}
    assert media.sizes == {"64x48": 2, "320x240": 1}
    assert media.sample_rates == {"44100": 1, "48000": 1}
    assert (media.formats, media.corrupt) == ({"MP4": 3}, 1)
    assert report.defects[0].examples == ["cut.mp4"]
    assert {line["file_name"]: line["seconds"] for line in lines(tmp_path)} == seconds


@pytest.mark.parametrize(
    ("format", "data", "problem"),
    [
        ("wav", b"\0" * 100, "the first of them a.wav: it is no WAV file"),
        ("wav", FLAC, "it is no WAV file"),
        ("flac", MP3, "it is no FLAC file"),
        ("mp3", WAV, "it is no MP3 file"),
        ("mp4", WAV, "it is no MP4 file"),
    ],
)
def test_a_dataset_without_a_recording_is_refused(tmp_path: Path, format: str, data: bytes, problem: str) -> None:
    report = read(tmp_path, "video" if format == "mp4" else "audio", format, {f"a.{format}": data})
    assert report.refused and report.refused.startswith("There is no recording that can be used.")
    assert problem in report.refused
    assert not (tmp_path / "output/examples").exists()


def test_class_folders_are_labels(tmp_path: Path) -> None:
    cut = WAV[:-100]
    members = {"dog/1.wav": WAV, "dog/2.flac": FLAC, "cat/1.MP3": MP3, "cat/2.wav": cut, "cat/notes.txt": b"mine"}
    report = read(tmp_path, "audio", "zip", {"animals.zip": zipped(members)})
    assert (report.rows, report.layout) == (3, "class_folders")
    assert report.media and report.media.formats == {"FLAC": 1, "MP3": 1, "WAV": 1}
    assert [(column.name, column.type) for column in report.columns] == [("file_name", "file"), ("label", "category")]
    label = report.columns[1]
    assert label.top and {one.value: one.count for one in label.top} == {"dog": 2, "cat": 1}
    assert [(one.code, one.examples) for one in report.defects] == [("corrupt_media", ["cat/2.wav"])]
    assert report.notes == ["animals.zip: 1 other files were left out (.txt)."]
    assert lines(tmp_path) == [
        {"file_name": "dog/1.wav", "archive": "animals.zip", "seconds": soundfile.info(io.BytesIO(WAV)).duration}
        | {"label": "dog"},
        {"file_name": "dog/2.flac", "archive": "animals.zip", "seconds": soundfile.info(io.BytesIO(FLAC)).duration}
        | {"label": "dog"},
        {"file_name": "cat/1.MP3", "archive": "animals.zip", "seconds": soundfile.info(io.BytesIO(MP3)).duration}
        | {"label": "cat"},
    ]


def test_videos_in_folders(tmp_path: Path) -> None:
    clips = [video(tmp_path, frames=frames, layout="mono") for frames in (5, 10, 15)]
    members = {"run/1.mp4": clips[0], "run/2.mp4": clips[1], "jump/1.mp4": clips[2], "jump/2.mp4": clips[2]}
    report = read(tmp_path, "video", "zip", {"clips.zip": zipped(members)})
    assert report.media and (report.rows, report.media.duplicates) == (4, 1)
    assert report.media.seconds == pytest.approx(45 / 25)
    assert [line["label"] for line in lines(tmp_path)] == ["run", "run", "jump", "jump"]


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_metadata_says_what_is_heard(tmp_path: Path, format: str) -> None:
    said = {"1.wav": "hello there", "2.flac": "good night", "absent.wav": "nobody", "cut.wav": "half a word"}
    if format == "csv":
        text = "file_name,transcription\n" + "".join(f"{name},{words}\n" for name, words in said.items())
    else:
        rows = [{"file_name": name, "transcription": words} for name, words in said.items()]
        text = "".join(json.dumps(row) + "\n" for row in rows)
    members = {"1.wav": WAV, "2.flac": FLAC, "cut.wav": WAV[:-100], "3.mp3": MP3, f"metadata.{format}": text}
    report = read(tmp_path, "audio", "zip", {"speech.zip": zipped(members)})
    assert (report.rows, report.layout) == (2, "metadata")
    assert [(column.name, column.type) for column in report.columns] == [
        ("file_name", "file"),
        ("transcription", "text"),
    ]
    assert {one.code: one.examples for one in report.defects} == {
        "corrupt_media": ["cut.wav"],
        "unlisted_file": ["3.mp3"],
        "missing_file": ["absent.wav"],
    }
    assert [(line["file_name"], line["transcription"]) for line in lines(tmp_path)] == list(said.items())[:2]


def test_several_archives_are_one_dataset(tmp_path: Path) -> None:
    files = {"a.zip": zipped({"dog/1.wav": WAV}), "b.zip": zipped({"cat/1.wav": WAV})}
    report = read(tmp_path, "audio", "zip", files)
    assert report.media and (report.rows, report.media.duplicates) == (2, 1)
    assert [(line["archive"], line["label"]) for line in lines(tmp_path)] == [("a.zip", "dog"), ("b.zip", "cat")]
    assert all(file.sha256 for file in report.files)


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"notes.txt": b"none"}, "a.zip holds no file that ends in .wav"),
        ({"1.wav": b"none"}, "There is no recording that can be used."),
        ({"../1.wav": WAV}, "../1.wav"),
    ],
)
def test_an_archive_without_recordings_is_refused(tmp_path: Path, members: dict[str, bytes], problem: str) -> None:
    report = read(tmp_path, "audio", "zip", {"a.zip": zipped(members)})
    assert report.refused and problem in report.refused


@pytest.mark.parametrize(("type", "format"), [("audio", "WAV"), ("video", "MP4")])
def test_audio_and_video_are_two_datasets(tmp_path: Path, type: str, format: str) -> None:
    data = zipped({"1.wav": WAV, "1.mp4": video(tmp_path, frames=3)})
    report = read(tmp_path, type, "zip", {"a.zip": data})
    assert report.media and report.media.formats == {format: 1}
    assert "1 other files were left out" in report.notes[0]


def test_a_zip_of_the_other_kind_is_refused(tmp_path: Path) -> None:
    assert "no file that ends in .mp4" in str(read(tmp_path, "video", "zip", {"a.zip": zipped({"1.wav": WAV})}).refused)
