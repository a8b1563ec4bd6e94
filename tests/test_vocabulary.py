"""The spelling of labels: renamed by a table, never merged unasked."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from mer_core.data.vocabulary import (
    MER2024_ORDER,
    MISSPELLINGS,
    VOCABULARY,
    canonical,
    class_order,
    collisions,
    edit_distance,
    find_typos,
    normalise_labels,
)
from mer_core.data.votes import normalise_with_votes
from mer_core.errors import UsageError


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("anger happiness sadness worry neutral surprise", "angry happy sad worried neutral surprise"),
        ("ANG DIS FEA HAP NEU SAD", "angry disgust fear happy neutral sad"),
        ("calm fearful surprised disgust", "calm fear surprise disgust"),
        ("joy anger sadness", "happy angry sad"),
        ("中性 愤怒 高兴 悲伤 担心 惊讶", "neutral angry happy sad worried surprise"),
        ("Angray Superise", "angry surprise"),
    ],
)
def test_names_of_data_sets_become_one_spelling(labels, expected):
    mapping, _ = normalise_labels(labels.split())
    assert [mapping[label] for label in labels.split()] == expected.split()


def test_each_spelling_belongs_to_one_label():
    words = [word for table in (VOCABULARY, MISSPELLINGS) for words in table.values() for word in words]
    assert len(words) == len(set(words)) == len({*words} - {*VOCABULARY})
    assert set(MISSPELLINGS) <= set(VOCABULARY)


def test_two_labels_of_one_manifest_are_never_merged_unasked():
    mapping, notes = normalise_labels(["anger", "angry", "joy"])
    assert mapping == {"anger": "anger", "angry": "angry", "joy": "happy"}
    assert any("--label anger=angry" in note for note in notes)
    assert collisions(["Sad", "sad", "fine"]) == [("Sad", "sad")]


def test_a_label_map_merges_when_asked_and_is_taken_literally():
    mapping, notes = normalise_labels(["anger", "angry"], {"anger": "angry"})
    assert set(mapping.values()) == {"angry"}
    assert not any("may mean the same" in note for note in notes)
    assert normalise_labels(["joy"], {"joy": "joy"})[0] == {"joy": "joy"}


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        ("hapy 开心 快乐 高兴 高兴", "高兴"),
        ("hapy hapy hapy 开心", "开心"),
        ("hapy hapy happy joy joy", "happy"),
        ("hapy happpy", "happy"),
        ("serene Serene Serene", "Serene"),
    ],
)
def test_a_group_is_merged_into_a_known_spelling_or_the_usual_one_never_a_typo(labels, kept):
    (note, *_) = normalise_labels(labels.split())[1]
    flags = re.findall(r"--label (\S+)=(\S+)", note)
    assert sorted(old for old, _ in flags) == sorted({*labels.split()} - {kept})
    assert {new for _, new in flags} == {kept}


@pytest.mark.parametrize(
    "counts",
    [
        {"hapy": 3, "开心": 1, "快乐": 1, "高兴": 2, "hapyp": 1},
        {"Sereen": 2, "sereen": 1, "serene": 40},
        {"serrene": 1, "sereen": 5, "sereene": 25, "Sereene": 2},
    ],
)
def test_every_suggestion_about_a_label_is_the_same_and_all_together_settle_it(counts):
    written = [label for label, number in counts.items() for _ in range(number)]
    flags = [flag for note in normalise_labels(written)[1] for flag in re.findall(r"--label (\S+)=(\S+)", note)]
    flags += [(typo.label, typo.meant) for typo in find_typos(counts)]
    assert len(set(flags)) == len(dict(flags))
    assert not {new for _, new in flags} & {old for old, _ in flags}
    mapping, notes = normalise_labels(written, dict(flags))
    assert not any("may mean the same" in note for note in notes)
    assert find_typos(Counter(mapping[label] for label in written)) == []


@pytest.mark.parametrize("circle", ["a=b b=a", "a=b b=c c=a", "x=a a=b b=a"])
def test_renaming_in_a_circle_is_refused(circle):
    asked = dict(pair.split("=") for pair in circle.split())
    with pytest.raises(UsageError, match=r"--label a=b .*in a circle"):
        normalise_with_votes(["a", "b"], (), asked)
    normalise_with_votes(["a", "b"], (), {"a": "a", "1": "2", "2": "3"})


def test_the_note_on_spelling_leaves_out_what_was_asked_for():
    _, notes = normalise_labels(["joy", "anger", "rage"], {"joy": "happy", "rage": "anger"})
    assert notes == ()
    assert normalise_labels(["joy", "worry"], {"joy": "happy"})[1] == ("labels read: 'worry' as 'worried'",)


def test_a_label_map_does_not_pull_in_a_third_label():
    mapping, notes = normalise_labels(["rage", "anger"], {"rage": "angry"})
    assert mapping == {"rage": "angry", "anger": "anger"}
    assert "--label anger=angry" in notes[0]


def test_a_label_map_can_drop_a_label_and_says_what_it_did_not_find():
    mapping, notes = normalise_labels(["xxx", "sad"], {"xxx": "", "exc": "happy"})
    assert mapping == {"xxx": "", "sad": "sad"}
    assert any("dropped" in note and "'xxx'" in note for note in notes)
    assert any("'exc', which no clip has" in note for note in notes)


def test_outer_space_and_unicode_form_are_no_difference():
    assert set(normalise_labels(["sad", " sad", "ｓａｄ"])[0].values()) == {"sad"}


def test_numbers_are_labels_of_their_own():
    assert normalise_labels(["-1", "1", "10", "2"])[0] == {"-1": "-1", "1": "1", "10": "10", "2": "2"}
    assert class_order(["10", "-1", "2"]) == ("-1", "2", "10")


def test_class_order_is_mer2024s_then_the_vocabularys_then_the_alphabet():
    assert class_order(reversed(MER2024_ORDER)) == MER2024_ORDER
    assert class_order(["zeal", "disgust", "surprise", "awe", "calm", "neutral"]) == (
        "neutral",
        "surprise",
        "calm",
        "disgust",
        "awe",
        "zeal",
    )
    assert class_order(["anger", "happy", "angry"]) == ("anger", "angry", "happy")


@pytest.mark.parametrize(
    ("counts", "label", "meant"),
    [
        ({"Angray": 1, "angry": 9}, "Angray", "angry"),
        ({"Superise": 9, "sad": 9}, "Superise", "surprise"),
        ({"hapyp": 2, "happy": 3}, "hapyp", "happy"),
        ({"serene": 40, "sereen": 2}, "sereen", "serene"),
    ],
)
def test_misspellings_are_suspected(counts, label, meant):
    assert [(t.label, t.meant, t.count) for t in find_typos(counts)] == [(label, meant, counts[label])]


@pytest.mark.parametrize(
    "labels", ["sad mad", "rater1 rater2", "positive negative neutral", "happy unhappy", "1000 1001", "high nigh"]
)
def test_different_words_are_not_suspected(labels):
    assert find_typos(dict.fromkeys(labels.split(), 10)) == []


def test_edit_distance_counts_a_swap_once():
    assert edit_distance("happy", "hapyp") == 1
    assert edit_distance("superise", "surprise") == 2
    assert edit_distance("", "abc") == 3


def test_unknown_labels_have_no_canonical_spelling():
    assert canonical("awe") is None
    assert canonical(" A-N-G ") == "angry"
