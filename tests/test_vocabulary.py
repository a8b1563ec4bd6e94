"""The spelling of labels: renamed by a table, never merged unasked."""

from __future__ import annotations

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
