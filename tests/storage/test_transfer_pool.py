import pytest

from tasks.storage.transfer_pool import StoppedError, TransferPool


@pytest.mark.parametrize("ahead", [None, 6])
def test_results_come_in_the_order_of_the_items(ahead: int | None) -> None:
    with TransferPool() as pool:
        assert list(pool.map(lambda number: -number, range(50), ahead=ahead)) == [-number for number in range(50)]


def test_no_more_results_are_held_than_asked_for() -> None:
    begun: list[int] = []
    with TransferPool() as pool:
        results = pool.map(begun.append, range(100), ahead=6)
        for number in range(50):
            next(results)
            assert len(begun) <= number + 6
        assert not list(results)[50:]


@pytest.mark.parametrize("ahead", [None, 4])
@pytest.mark.parametrize("failing", [0, 3, 9])
def test_the_first_failure_is_raised_and_running_items_end(failing: int, ahead: int | None) -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        if number == failing:
            raise ValueError(number)
        while failing < 4:  # until the pool is stopped
            pool.raise_if_stopped()

    with pytest.raises(ValueError, match=str(failing)), TransferPool(4) as pool:
        list(pool.map(work, range(1000), ahead=ahead))
    assert len(begun) < 100


def test_a_failure_in_the_block_stops_the_pool() -> None:
    def fail(pool: TransferPool) -> None:
        with pool:
            next(pool.map(lambda number: number, range(1000), ahead=4))
            raise KeyError

    pool = TransferPool()
    with pytest.raises(KeyError):
        fail(pool)
    with pytest.raises(StoppedError):
        pool.raise_if_stopped()
