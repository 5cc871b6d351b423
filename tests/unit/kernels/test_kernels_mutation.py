"""The mutation check's own code, and that its list fits the sources. `make mutate-kernels` runs the mutants."""

from pathlib import Path

import pytest

from kernels.mutation.mutant import Mutant, MutationError, read_mutants, suites_of
from kernels.mutation.run import Verdict, show
from kernels.mutation.tree import Tree, first_failure, mirror

KERNELS = Path(__file__).parents[3] / "kernels"
LIST = KERNELS / "mutation/mutants"
FAMILIES = ["activation", "attention", "linear_bf16", "linear_w4", "linear_w8", "norm", "rotary", "sampler", "softmax"]

ENTRY = """
[[mutant]]
isa = "portable"
what = "eps is left out"
file = "src/norm.cpp"
old = "mean + eps"
new = "mean"
"""


@pytest.fixture
def kernels(tmp_path: Path) -> Path:
    for name, text in {
        "src/norm.cpp": "sqrt(mean + eps)\n",
        "test/norm_test.cpp": "TEST_P(NormTest, A) {}\nTEST_P(NormTest, B) {}\n",
        "test/norm_table_test.cpp": "TEST(NormTableTest, A) {}\n",
    }.items():
        path = tmp_path / "kernels" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "kernels"


def read(tmp_path: Path, kernels: Path, text: str, family: str = "norm") -> list[Mutant]:
    folder = tmp_path / "mutants"
    folder.mkdir(exist_ok=True)
    (folder / f"{family}.toml").write_text(text)
    return read_mutants(folder, kernels)


def test_the_list_fits_the_sources_and_covers_every_family_and_isa() -> None:
    covered = {(mutant.family, mutant.isa) for mutant in read_mutants(LIST, KERNELS)}
    assert {(family, isa) for family in FAMILIES for isa in ("portable", "neon")} <= covered
    assert ("penalties", "portable") in covered  # which has no other implementation
    with_sve2 = {path.stem for path in (KERNELS / "src/sve2").glob("*.cpp")}
    assert {(family, "sve2") for family in with_sve2} <= covered


def test_a_mutant_is_read_as_it_is_written(tmp_path: Path, kernels: Path) -> None:
    (mutant,) = read(tmp_path, kernels, ENTRY)
    assert (mutant.name, mutant.old, mutant.new, mutant.equivalent) == (
        "norm portable: eps is left out", "mean + eps", "mean", "",
    )  # fmt: skip


def test_every_mistake_in_the_lists_is_reported_at_once(tmp_path: Path, kernels: Path) -> None:
    others = ENTRY.replace("mean + eps", "n + 1").replace("eps is left out", "b") + ENTRY.replace("portable", "avx9")
    with pytest.raises(MutationError):
        read(tmp_path, kernels, ENTRY + ENTRY + others + ENTRY.replace("what =", "why ="))
    with pytest.raises(MutationError) as error:
        read(tmp_path, kernels, ENTRY.replace("norm", "rope"), family="rope")
    assert str(error.value).splitlines() == [
        "norm.toml: mutant 5: what: a string, got nothing. Add it.",
        "norm.toml: mutant 5: why: one of isa, file, what, old, new, equivalent, got why. Remove it.",
        "norm portable: eps is left out: a name of its own, got it 2 times. Say in `what` how they differ.",
        "norm portable: b: old: once in src/norm.cpp, got 0 times. Adapt it to the source.",
        "norm avx9: eps is left out: isa: one of portable, neon, sve2, got avx9. Name the one whose tests must fail.",
        "rope portable: eps is left out: family: the beginning of a file in test/, got rope. Rename its list.",
        "rope portable: eps is left out: file: a source in kernels/, got src/rope.cpp. Adapt it to the tree.",
    ]


def test_an_edit_of_a_text_that_is_there_twice_or_of_nothing_is_refused(tmp_path: Path, kernels: Path) -> None:
    (kernels / "src/norm.cpp").write_text("mean + eps; mean + eps;\n")
    with pytest.raises(MutationError, match=r"old: once in src/norm\.cpp, got 2 times"):
        read(tmp_path, kernels, ENTRY)
    (kernels / "src/norm.cpp").write_text("mean + eps;\n")
    with pytest.raises(MutationError, match=r"new: another text than `old`, got the same"):
        read(tmp_path, kernels, ENTRY.replace('"mean"', '"mean + eps"'))


def test_a_familys_tests_are_those_of_the_files_that_begin_with_its_name(kernels: Path) -> None:
    assert suites_of(kernels, "norm") == ({"NormTest"}, {"NormTableTest"})
    assert suites_of(kernels, "rotary") == (set(), set())


def test_an_edit_is_made_in_the_copy_and_undone_also_when_its_tests_end_badly(tmp_path: Path, kernels: Path) -> None:
    tree = Tree(kernels, tmp_path / "out", "native")
    mirror(kernels, tree.source)
    (mutant,) = read(tmp_path, kernels, ENTRY)
    with pytest.raises(ZeroDivisionError), tree.edited(mutant):
        assert (tree.source / "src/norm.cpp").read_text() == "sqrt(mean)\n"
        assert (kernels / "src/norm.cpp").read_text() == "sqrt(mean + eps)\n"
        raise ZeroDivisionError
    assert (tree.source / "src/norm.cpp").read_text() == "sqrt(mean + eps)\n"


def test_the_copy_follows_the_sources_and_what_did_not_change_is_left_alone(tmp_path: Path, kernels: Path) -> None:
    copy = tmp_path / "copy"
    mirror(kernels, copy)
    before = (copy / "test/norm_test.cpp").stat().st_mtime_ns
    (copy / "src/norm.cpp").write_text("left by a run that was ended\n")
    (copy / "src/gone.cpp").write_text("")
    (kernels / "README.md").write_text("not a source")
    mirror(kernels, copy)
    assert (copy / "src/norm.cpp").read_text() == "sqrt(mean + eps)\n"
    assert (copy / "test/norm_test.cpp").stat().st_mtime_ns == before
    assert not (copy / "src/gone.cpp").exists()
    assert not (copy / "README.md").exists()


RAN = "[ RUN      ] Isa/NormTest.A/neon\n[       OK ] Isa/NormTest.A/neon (1 ms)\n[ RUN      ] Isa/NormTest.B/neon\n"


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        (RAN + "[       OK ] Isa/NormTest.B/neon (1 ms)\n", 0, ""),
        (RAN + "[  FAILED  ] Isa/NormTest.B/neon, where GetParam() = neon (1 ms)\n", 1, "Isa/NormTest.B/neon"),
        (RAN + "[  FAILED  ] Isa/NormTest.B/neon (1 ms)\n", -11, "Isa/NormTest.B/neon"),
        (RAN, -11, "Isa/NormTest.B/neon, ended by signal 11"),
        (RAN, 139, "Isa/NormTest.B/neon, ended by status 139"),
        (RAN, None, "Isa/NormTest.B/neon, not done in 120 s"),
        ("", 127, "the start, ended by status 127"),
        ("[==========] Running 0 tests from 0 test suites.\n", 0, "no test ran"),
    ],
)
def test_the_test_that_noticed_is_named_however_it_ended(text: str, status: int | None, said: str) -> None:
    assert first_failure(text, status, 120.0) == said


@pytest.mark.parametrize(
    ("equivalent", "killed_by", "word", "is_good"),
    [
        ("", "NormTest.A", "killed", True),
        ("", "", "SURVIVED", False),
        ("only slower", "", "equivalent", True),
        ("only slower", "NormTest.A", "killed, declared equivalent", False),
    ],
)
def test_a_survivor_is_good_only_when_it_was_declared(
    equivalent: str, killed_by: str, word: str, is_good: bool
) -> None:
    verdict = Verdict(Mutant("norm", "neon", "src/norm.cpp", "w", "a", "b", equivalent), killed_by, 1.0)
    assert (verdict.word, verdict.is_good) == (word, is_good)


def test_the_report_names_survivors_and_gives_the_reasons_of_the_declared(capsys: pytest.CaptureFixture[str]) -> None:
    mutants = [Mutant("norm", "neon", "src/norm.cpp", what, "a", "b", why) for what, why in (
        ("one", ""), ("two", ""), ("three", "only slower")
    )]  # fmt: skip
    show([Verdict(mutants[0], "NormTest.A", 1.0), Verdict(mutants[1], "", 2.0), Verdict(mutants[2], "", 3.0)], 6.4)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[-3:] == [
        "3 mutants, 1 killed, 2 not, in 6 s",
        "equivalent: norm neon: three: only slower",
        "norm neon: two: SURVIVED (src/norm.cpp). Write the test that notices it.",
    ]
    assert [line.split()[:5] for line in lines[1:4]] == [
        ["norm", "neon:", "one", "killed", "NormTest.A"],
        ["norm", "neon:", "two", "SURVIVED", "2.0"],
        ["norm", "neon:", "three", "equivalent", "3.0"],
    ]
