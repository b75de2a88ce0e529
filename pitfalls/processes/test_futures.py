"""Futures: where an exception of a callback ends up, and where it doesn't."""

import pytest
from torch.futures import Future

from pitfalls import pitfall


@pitfall(
    "future-callback-loses-its-exception",
    docs=[("torch.futures.Future.add_done_callback", "error handling must be carefully taken care of")],
    symptom="a future that a callback should have completed never is, and no exception says why",
    priority=3,
)
class TestFutureCallbackLosesItsException:
    """An exception in a callback of ``add_done_callback`` is printed and lost: nobody who waits gets to see it.

    What the callback was to complete stays pending, so that waiting for it hangs. Catch inside the callback, and hand
    the exception on with ``set_exception``.
    """

    def test_trap_the_future_has_its_value(self):
        future = Future()
        future.add_done_callback(lambda done: 1 / 0)
        future.set_result(3)
        assert future.value() == 3

    def test_trap_what_should_follow_stays_pending(self):
        future, following = Future(), Future()
        future.add_done_callback(lambda done: following.set_result(1 / done.value()))
        future.set_result(0)
        assert following.done() is False

    def test_fix_hand_the_exception_on(self):
        future, following = Future(), Future()

        def callback(done):
            try:
                following.set_result(1 / done.value())
            except ZeroDivisionError as error:
                following.set_exception(error)

        future.add_done_callback(callback)
        future.set_result(0)
        with pytest.raises(ZeroDivisionError, match="division by zero"):
            following.value()


@pitfall(
    "then-keeps-the-exception-to-itself",
    docs=[("torch.futures.Future.then", "will be marked appropriately with the encountered error")],
    symptom="RuntimeError: Got the following error when running the callback, though the future itself has its value",
    error="Got the following error when running the callback",
    priority=3,
)
class TestThenKeepsTheExceptionToItself:
    """An exception in a callback of ``then`` is in the future that ``then`` gave, as RuntimeError, and nowhere else.

    The first future is none the worse, and other futures that the callback was to complete stay pending. Wait for what
    ``then`` returns.
    """

    def test_trap_the_first_future_has_its_value(self):
        future = Future()
        future.then(lambda done: 1 / 0)
        future.set_result(3)
        assert future.value() == 3

    def test_trap_another_future_stays_pending(self):
        future, other = Future(), Future()
        future.then(lambda done: other.set_result(1 / done.value()))
        future.set_result(0)
        assert other.done() is False

    def test_fix_wait_for_what_then_returns(self):
        future = Future()
        following = future.then(lambda done: 1 / done.value())
        future.set_result(0)
        with pytest.raises(RuntimeError, match="Got the following error when running the callback: ZeroDivisionError"):
            following.value()
