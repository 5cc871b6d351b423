"""A stack's labels leave room for those that are added, and do not take Google's names."""

from deployment.labels import label_problems


def test_sixty_labels_are_enough_and_one_more_is_refused() -> None:
    labels = {f"label-{number}": "x" for number in range(60)}
    assert list(label_problems(labels)) == []
    assert list(label_problems({**labels, "team": "serving"})) == [
        ((), "too many: Google takes 64 on one thing and 4 are added, got 61. Keep 60.")
    ]


def test_googles_own_names_are_googles() -> None:
    (problem,) = label_problems({"team": "serving", "goog-team": "x"})
    assert problem == (("goog-team",), "Google's own labels begin with goog, got goog-team. Use another name.")
