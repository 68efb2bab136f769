import threading
from collections.abc import Callable

import pytest

from tasks.storage.transfer_pool import Crew, StoppedError


def test_results_come_in_the_order_of_the_items() -> None:
    with Crew() as crew:
        assert crew.each_file(lambda number: crew.each_part(lambda part: (number, part), range(3)), range(20)) == [
            [(number, part) for part in range(3)] for number in range(20)
        ]
        assert list(crew.parts_in_order(lambda number: -number, range(50), ahead=6)) == [-n for n in range(50)]


def test_no_more_results_are_there_than_asked_for() -> None:
    begun: list[int] = []
    with Crew() as crew:
        arriving = crew.parts_in_order(begun.append, range(100), ahead=6)
        for number in range(50):
            next(arriving)
            assert len(begun) <= number + 6
        assert not list(arriving)[50:]


@pytest.mark.parametrize("at", [0, 3, 9])
def test_the_first_failure_is_raised_and_what_is_under_way_ends(at: int) -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        if number == at:
            raise ValueError(number)
        while at < 4:  # as long as it takes until the others are told
            crew.go_on()

    def in_order(crew: Crew) -> list[None]:
        return list(crew.parts_in_order(work, range(1000), ahead=4))

    ways: list[Callable[[Crew], object]] = [
        lambda crew: crew.each_file(work, range(1000)),
        lambda crew: crew.each_part(work, range(1000)),
        in_order,
    ]
    for way in ways:
        begun.clear()
        with pytest.raises(ValueError, match=str(at)), Crew(4) as crew:
            way(crew)
        assert len(begun) < 100


def test_a_failure_of_a_part_is_that_of_its_file_and_ends_the_other_files() -> None:
    def send(number: int) -> None:
        crew.each_part(lambda _: part(number), range(3))

    def part(number: int) -> None:
        ready.wait(10)
        if number == 2:
            raise ValueError("part of 2")
        while True:
            crew.go_on()

    ready = threading.Barrier(1)
    with pytest.raises(ValueError, match="part of 2"), Crew(12) as crew:
        crew.each_file(send, range(4))


def test_a_failure_in_the_block_ends_the_work() -> None:
    def fail(crew: Crew) -> None:
        with crew:
            next(crew.parts_in_order(lambda number: number, range(1000), ahead=4))
            raise KeyError

    crew = Crew()
    with pytest.raises(KeyError):
        fail(crew)
    with pytest.raises(StoppedError):
        crew.go_on()
