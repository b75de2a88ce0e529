"""Streams: queues of the GPU that don't wait for each other, and memory that is used on two of them."""

import torch

from pitfalls import on, pitfall


@pitfall(
    "side-streams-do-not-wait",
    docs=["notes/cuda#cuda-streams", ("torch.cuda.Stream", "independent from other streams"), "torch.cuda.stream"],
    symptom="with my own CUDA stream values are wrong now and then: zeros, or those of the last step",
)
class TestSideStreamsDoNotWait:
    """Work on a stream of one's own is not ordered after work on the default stream: it may read unfinished data.

    Within one stream everything runs in order. Say ``side.wait_stream(torch.cuda.current_stream())`` before using what
    another stream computes, and the reverse before using the results there, gradients included.
    """

    @on("cuda")
    def test_trap_the_old_value_is_read(self, device):
        x, value, seen = (
            torch.ones(4096, 4096, device=device),
            torch.zeros(2, device=device),
            torch.ones(2, device=device),
        )
        y, side = x @ x, torch.cuda.Stream()
        torch.cuda.synchronize()
        for _ in range(30):
            torch.mm(x, x, out=y)
        value.fill_(7)
        with torch.cuda.stream(side):
            seen.copy_(value)
        torch.cuda.synchronize()
        assert seen.tolist() == [0, 0]

    @on("cuda")
    def test_fix_wait_for_the_other_stream(self, device):
        x, value, seen = (
            torch.ones(4096, 4096, device=device),
            torch.zeros(2, device=device),
            torch.ones(2, device=device),
        )
        y, side = x @ x, torch.cuda.Stream()
        torch.cuda.synchronize()
        for _ in range(30):
            torch.mm(x, x, out=y)
        value.fill_(7)
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            seen.copy_(value)
        torch.cuda.current_stream().wait_stream(side)
        assert seen.tolist() == [7, 7]

    @on("cuda")
    def test_fix_one_stream_keeps_the_order(self, device):
        value, seen = torch.zeros(2, device=device), torch.ones(2, device=device)
        torch.cuda.synchronize()
        with torch.cuda.stream(torch.cuda.Stream()):
            value.fill_(7)
            seen.copy_(value)
        torch.cuda.synchronize()
        assert seen.tolist() == [7, 7]


@pitfall(
    "waiting-streams-do-not-hold-up-the-program",
    docs=[
        ("torch.cuda.Stream.wait_stream", "This function returns without waiting for"),
        ("torch.cuda.Stream.wait_event", "This function returns without waiting for"),
        "torch.cuda.Event.synchronize",
    ],
    symptom="stream.wait_event(event) returns at once, and the event hasn't happened",
)
class TestWaitingStreamsDoNotHoldUpTheProgram:
    """``wait_stream`` and ``wait_event`` return at once: it is the stream that waits, with work that it gets later.

    The program itself waits with ``synchronize()`` of the event, the stream or ``torch.cuda``.
    """

    @on("cuda")
    def test_trap_the_event_has_not_happened(self, device):
        x, done, side = torch.ones(4096, 4096, device=device), torch.cuda.Event(), torch.cuda.Stream()
        y = x @ x
        for _ in range(30):
            torch.mm(x, x, out=y)
        done.record()
        side.wait_event(done)
        side.wait_stream(torch.cuda.current_stream())
        assert done.query() is False
        torch.cuda.synchronize()

    @on("cuda")
    def test_fix_synchronize(self, device):
        x, done = torch.ones(4096, 4096, device=device), torch.cuda.Event()
        y = x @ x
        for _ in range(30):
            torch.mm(x, x, out=y)
        done.record()
        done.synchronize()
        assert done.query() is True


@pitfall(
    "memory-of-another-stream-is-reused",
    docs=[
        ("torch.Tensor.record_stream", "aware of only the stream where a tensor"),
        "notes/cuda#cuda-streams",
        "torch.cuda.Stream.wait_stream",
    ],
    symptom="a tensor that a side stream still reads changes after del x",
)
class TestMemoryOfAnotherStreamIsReused:
    """Memory of a tensor goes back to the stream that made it: while another stream still uses it, it may be reused.

    ``x.record_stream(side)`` keeps it until ``side`` has done what was queued when ``x`` died; memory use is then less
    predictable. Or let the first stream wait for ``side`` before ``x`` is dropped.
    """

    @on("cuda")
    def test_trap_it_is_given_away(self, device):
        torch.cuda.empty_cache()
        side, work = torch.cuda.Stream(), torch.ones(4096, 4096, device=device)
        y, x = work @ work, torch.ones(2**25, dtype=torch.uint8, device=device)
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(30):
                torch.mm(work, work, out=y)  # and then something would read x
        address = x.data_ptr()
        del x
        assert torch.empty(2**25, dtype=torch.uint8, device=device).data_ptr() == address
        torch.cuda.synchronize()

    @on("cuda")
    def test_fix_record_the_stream(self, device):
        torch.cuda.empty_cache()
        side, work = torch.cuda.Stream(), torch.ones(4096, 4096, device=device)
        y, x = work @ work, torch.ones(2**25, dtype=torch.uint8, device=device)
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(30):
                torch.mm(work, work, out=y)
        address = x.data_ptr()
        x.record_stream(side)
        del x
        assert torch.empty(2**25, dtype=torch.uint8, device=device).data_ptr() != address
        torch.cuda.synchronize()
