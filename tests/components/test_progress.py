"""How far a loop of steps may be while nobody can ask it."""

from components.progress import Board, Loop

# Begun at 100 s, at 2 steps a second.
LOOP = Loop(start=20, end=30, total=50, began_s=100.0, steps_per_second=2.0, last="loss 0.5")


def test_a_loop_goes_on_at_the_pace_of_the_one_before_and_not_beyond_its_end() -> None:
    assert [LOOP.step(now_s) for now_s in (100.0, 102.0, 105.0, 900.0)] == [20, 24, 30, 30]
    assert [LOOP.remaining_s(now_s) for now_s in (100.0, 102.0, 900.0)] == [15, 13, 10]


def test_a_loop_that_has_ended_has_a_pace() -> None:
    assert LOOP.pace(104.0) == 2.5


def test_the_first_loop_tells_no_pace() -> None:
    first = LOOP._replace(start=0, steps_per_second=None)
    assert (first.step(900.0), first.remaining_s(900.0)) == (0, None)


def test_a_board_counts_until_another_node_begins() -> None:
    board = Board()
    for what in ("examples", "examples", "records"):
        board.count(what)
    board.begin_loop(0, 10, 10, None, "")
    assert board.counts == {"examples": 2, "records": 1}
    assert board.loop is not None
    board.clear()
    assert (board.loop, board.counts) == (None, {})
