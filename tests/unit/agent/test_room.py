"""What a host says of the room on its file systems."""

from pathlib import Path

from agent.room import rooms


def test_each_file_system_is_looked_at_once_and_the_first_place_comes_first(tmp_path: Path) -> None:
    """The first is where everything of ours lies: what is free there decides, not what is free in a small /tmp."""
    other = "/proc"  # a file system of its own, whatever this computer is
    found = rooms([str(tmp_path / "axion"), other, str(tmp_path), str(tmp_path.parent)])
    assert [each.place for each in found] == [str(tmp_path / "axion"), other]
    assert found[0].mount != found[1].mount
