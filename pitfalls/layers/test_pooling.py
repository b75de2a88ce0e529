"""Pooling: which windows there are, what padding counts for, and what the indices lead back to."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import pitfall


@pitfall(
    "pooling-drops-the-remainder",
    docs=[
        ("torch.nn.MaxPool1d", "ensures that every element in the input tensor"),
        ("torch.nn.AvgPool1d", "windows are allowed to go off-bounds if they"),
        "torch.nn.LPPool1d",
    ],
    symptom="pooling ignores the last column; the sizes differ by one from another framework",
)
class TestPoolingDropsTheRemainder:
    """Pooling reads whole windows only, so a remainder at the right edge is dropped, unless ``ceil_mode=True``.

    With it the last window may hang over, but one that would start in the right padding is left out: the size is not
    always rounded up. The stride is the kernel size unless it is given.
    """

    POOLS = [
        pytest.param(lambda x, **how: F.max_pool1d(x, 2, **how), [2, 4], [2, 4, 5], id="max"),
        pytest.param(lambda x, **how: F.avg_pool1d(x, 2, **how), [1.5, 3.5], [1.5, 3.5, 5], id="mean"),
    ]

    @pytest.mark.parametrize(("pool", "floor", "ceil"), POOLS)
    def test_trap_the_last_value_is_dropped(self, device, pool, floor, ceil):
        x = torch.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]]], device=device)
        assert pool(x).flatten().tolist() == floor

    @pytest.mark.parametrize("pool", [pytest.param(F.max_pool1d, id="max"), pytest.param(F.avg_pool1d, id="mean")])
    def test_trap_no_window_starts_in_the_padding(self, device, pool):
        x = torch.ones(1, 1, 3, device=device)
        sizes = [pool(x, 2, stride=2, padding=1, ceil_mode=ceil_mode).shape[-1] for ceil_mode in (False, True)]
        assert sizes == [2, 2]

    @pytest.mark.parametrize(("pool", "floor", "ceil"), POOLS)
    def test_fix_ceil_mode(self, device, pool, floor, ceil):
        x = torch.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]]], device=device)
        assert pool(x, ceil_mode=True).flatten().tolist() == ceil

    def test_fix_lp_pool_has_ceil_mode_too(self, device):
        x = torch.tensor([[[1.0, 1.0, 1.0]]], device=device)
        assert F.lp_pool1d(x, 1, 2).tolist() == [[[2]]]
        assert F.lp_pool1d(x, 1, 2, ceil_mode=True).shape == (1, 1, 2)


@pitfall(
    "average-pool-counts-its-padding",
    docs=[
        ("torch.nn.AvgPool1d", "will include the zero-padding in the averaging calculation"),
        ("torch.nn.AvgPool1d", "pad should be at most half of"),
        ("torch.nn.MaxPool1d", "implicitly padded with negative infinity on both"),
    ],
    symptom="averages at the border are too small; pad should be at most half of effective kernel size",
    error="pad should be at most half of effective kernel size",
)
class TestAveragePoolCountsItsPadding:
    """Average pooling counts the zeros of its padding, so means at the border are too small.

    ``count_include_pad=False`` leaves them out. Max pooling pads with minus infinity instead. For both the padding may
    be half of the kernel at most; pad with ``F.pad`` where more is needed.
    """

    def test_trap_border_means_are_too_small(self, device):
        x = torch.tensor([[[3.0, 3.0, 3.0]]], device=device)
        assert F.avg_pool1d(x, 3, stride=1, padding=1).tolist() == [[[2, 3, 2]]]

    def test_trap_max_pool_pads_with_minus_infinity(self, device):
        x = torch.tensor([[[-1.0, -2.0, -3.0]]], device=device)
        assert F.max_pool1d(x, 3, stride=1, padding=1).tolist() == [[[-1, -1, -2]]]

    @pytest.mark.parametrize(
        "pool",
        [
            pytest.param(lambda x: F.max_pool1d(x[0], 3, padding=2), id="max_pool1d"),
            pytest.param(lambda x: F.avg_pool1d(x[0], 3, padding=2), id="avg_pool1d"),
            pytest.param(lambda x: F.max_pool2d(x, 3, padding=2), id="max_pool2d"),
            pytest.param(lambda x: F.avg_pool2d(x, 3, padding=2), id="avg_pool2d"),
        ],
    )
    def test_trap_half_of_the_kernel_at_most(self, device, pool):
        with pytest.raises(RuntimeError, match=r"pad(ding)? should be at most half of (effective )?kernel size"):
            pool(torch.ones(1, 1, 5, 5, device=device))

    def test_fix_leave_the_padding_out(self, device):
        x = torch.tensor([[[3.0, 3.0, 3.0]]], device=device)
        assert F.avg_pool1d(x, 3, stride=1, padding=1, count_include_pad=False).tolist() == [[[3, 3, 3]]]

    def test_fix_pad_before(self, device):
        x = F.pad(torch.tensor([[[3.0, 6.0]]], device=device), (2, 2), mode="constant", value=3.0)
        assert F.avg_pool1d(x, 3).tolist() == [[[3, 4]]]


POOLS_WITH_INDICES = [
    pytest.param(F.max_pool1d, nn.MaxPool1d, (1, 1, 5), id="1d"),
    pytest.param(F.max_pool2d, nn.MaxPool2d, (1, 1, 5, 5), id="2d"),
    pytest.param(F.max_pool3d, nn.MaxPool3d, (1, 1, 5, 5, 5), id="3d"),
]


@pitfall(
    "max-pool-arguments-change-places",
    docs=[
        ("torch.nn.functional.max_pool1d", "The order of :attr:`ceil_mode` and :attr:`return_indices` is"),
        "torch.nn.functional.max_pool2d",
        "torch.nn.functional.max_pool3d",
    ],
    symptom="MaxPool2d returns a tuple although I asked for ceil_mode",
    priority=3,
)
class TestMaxPoolArgumentsChangePlaces:
    """The last two arguments are ``ceil_mode, return_indices`` in ``F.max_pool2d``, the reverse in ``nn.MaxPool2d``.

    Pass both by name.
    """

    @pytest.mark.parametrize(("function", "layer", "sizes"), POOLS_WITH_INDICES)
    def test_trap_one_true_by_position(self, device, function, layer, sizes):
        x = torch.ones(sizes, device=device)
        assert function(x, 2, 2, 0, 1, True).shape[-1] == 3
        assert len(layer(2, 2, 0, 1, True)(x)) == 2

    @pytest.mark.parametrize(("function", "layer", "sizes"), POOLS_WITH_INDICES)
    def test_fix_by_name(self, device, function, layer, sizes):
        x = torch.ones(sizes, device=device)
        assert function(x, 2, ceil_mode=True).shape[-1] == 3
        assert layer(2, ceil_mode=True)(x).shape[-1] == 3


@pitfall(
    "unpooling-guesses-its-size",
    docs=[
        ("torch.nn.MaxUnpool1d", "can map several input sizes to the"),
        "torch.nn.MaxUnpool2d",
        "torch.nn.MaxUnpool3d",
    ],
    symptom="the decoder gives an image that is one pixel smaller; invalid output_size must be between",
    error="invalid output_size",
)
class TestUnpoolingGuessesItsSize:
    """``MaxUnpool`` takes the smallest size that fits; if pooling had dropped a remainder, values land in wrong places.

    The indices count in the size that was pooled, within a channel. Pass ``output_size=x.shape``. All that isn't a
    maximum becomes zero.
    """

    UNPOOLS = [
        pytest.param(F.max_pool1d, F.max_unpool1d, (1, 1, 5), id="1d"),
        pytest.param(F.max_pool2d, F.max_unpool2d, (1, 1, 5, 5), id="2d"),
        pytest.param(F.max_pool3d, F.max_unpool3d, (1, 1, 5, 5, 5), id="3d"),
    ]

    @pytest.mark.parametrize(("pool", "unpool", "sizes"), UNPOOLS)
    def test_trap_the_remainder_does_not_come_back(self, device, pool, unpool, sizes):
        y, indices = pool(torch.ones(sizes, device=device), 2, return_indices=True)
        assert unpool(y, indices, 2).shape[-1] == 4

    def test_trap_values_land_elsewhere(self, device):
        x = torch.zeros(1, 1, 5, 5, device=device)
        x[0, 0, 2, 2] = 7  # index 12 of the 5 x 5 image, which is row 3 and column 0 of a 4 x 4 one
        y, indices = F.max_pool2d(x, 2, return_indices=True)
        assert F.max_unpool2d(y, indices, 2)[0, 0].nonzero().tolist() == [[3, 0]]

    def test_trap_all_but_the_maxima_are_zero(self, device):
        y, indices = F.max_pool1d(torch.tensor([[[1.0, 2.0, 4.0, 3.0]]], device=device), 2, return_indices=True)
        assert F.max_unpool1d(y, indices, 2).tolist() == [[[0, 2, 4, 0]]]

    def test_trap_a_size_that_does_not_fit(self, device):
        y, indices = F.max_pool1d(torch.tensor([[[1.0, 2.0, 4.0, 3.0]]], device=device), 2, return_indices=True)
        with pytest.raises(ValueError, match=r'invalid output_size "\[7\]" \(dim 0 must be between 2 and 6\)'):
            F.max_unpool1d(y, indices, 2, output_size=[7])

    @pytest.mark.parametrize(("pool", "unpool", "sizes"), UNPOOLS)
    def test_fix_output_size(self, device, pool, unpool, sizes):
        y, indices = pool(torch.ones(sizes, device=device), 2, return_indices=True)
        assert unpool(y, indices, 2, output_size=sizes).shape == sizes

    def test_fix_windows_that_do_not_overlap(self, device):
        # With a repeated index it is undefined which of the values stays.
        y, index = torch.tensor([[[1.0, 2.0]]], device=device), torch.tensor([[[0, 0]]], device=device)
        assert F.max_unpool1d(y, index, 2)[0, 0, 0] in (1, 2)
        x = torch.tensor([[[0.0, 2.0, 4.0, 0.0]]], device=device)
        y, indices = F.max_pool1d(x, 2, return_indices=True)
        assert torch.equal(F.max_unpool1d(y, indices, 2), x)


@pitfall(
    "adaptive-windows-overlap",
    docs=["torch.nn.AdaptiveAvgPool1d", "torch.nn.AdaptiveAvgPool2d"],
    symptom="AdaptiveAvgPool gives other values than AvgPool; some pixels count twice",
    priority=3,
)
class TestAdaptiveWindowsOverlap:
    """Adaptive pooling takes windows of different lengths that overlap where the size is no multiple of the output.

    It also enlarges, by repeating. Only for multiples is it a pooling of fixed windows. ``None`` keeps a dimension.
    """

    def test_trap_the_middle_counts_twice(self, device):
        x = torch.tensor([[[0.0, 0.0, 6.0, 0.0, 0.0]]], device=device)
        assert F.adaptive_avg_pool1d(x, 2).tolist() == [[[2, 2]]]

    def test_trap_it_enlarges_too(self, device):
        x = torch.tensor([[[1.0, 2.0]]], device=device)
        assert F.adaptive_avg_pool1d(x, 4).tolist() == [[[1, 1, 2, 2]]]

    def test_fix_multiples_are_fixed_windows(self, device):
        x = torch.tensor([[[1.0, 3.0, 5.0, 7.0]]], device=device)
        assert F.adaptive_avg_pool1d(x, 2).tolist() == F.avg_pool1d(x, 2).tolist() == [[[2, 6]]]


@pitfall(
    "lp-pool-of-negative-values",
    docs=["torch.nn.LPPool1d", ("torch.nn.LPPool1d", "power of `p` is zero")],
    symptom="NaN from LPPool with norm_type 3; LPPool with norm_type 1 is negative",
    priority=3,
)
class TestLpPoolOfNegativeValues:
    """``LPPool`` takes no absolute values: with an odd power a negative sum gives NaN, or for power 1 a negative value.

    It is a norm for even powers only. Where the sum is zero, its gradient is set to zero. Take ``abs()`` before.
    """

    def test_trap_the_third_root_of_a_negative_sum(self, device):
        x = torch.tensor([[[-1.0, -1.0]]], device=device)
        assert F.lp_pool1d(x, 3, 2).isnan().all().item()

    def test_trap_power_one_is_the_sum(self, device):
        assert F.lp_pool1d(torch.tensor([[[-3.0, 1.0]]], device=device), 1, 2).tolist() == [[[-2]]]

    @pytest.mark.parametrize(("p", "x"), [(2, [0.0, 0.0]), (3, [1.0, -1.0])], ids=["zeros", "cancelling"])
    def test_trap_no_gradient_where_the_sum_is_zero(self, device, p, x):
        x = torch.tensor([[x]], device=device, requires_grad=True)
        F.lp_pool1d(x, p, 2).sum().backward()
        assert x.grad.tolist() == [[[0, 0]]]

    def test_fix_absolute_values_first(self, device):
        x = torch.tensor([[[-3.0, 1.0]]], device=device)
        assert F.lp_pool1d(x.abs(), 1, 2).tolist() == [[[4]]]


@pitfall(
    "fractional-pool-is-random-in-eval",
    docs=["torch.nn.FractionalMaxPool2d", ("torch.nn.FractionalMaxPool2d", "Exactly one of ``output_size`` or")],
    symptom="a model with FractionalMaxPool2d gives another result on each call, also in eval mode",
    priority=3,
)
class TestFractionalPoolIsRandomInEval:
    """``FractionalMaxPool2d`` draws its windows anew on each call, in eval mode too, and needs a size or a ratio.

    Exactly one of ``output_size`` and ``output_ratio`` is taken. For evaluation use an adaptive max pooling.
    """

    def test_trap_it_draws_in_eval_mode(self, device, seeded):
        pool = nn.FractionalMaxPool2d(2, output_size=10).eval()
        x = torch.arange(900.0, device=device).reshape(1, 1, 30, 30)
        assert not torch.equal(pool(x), pool(x))

    @pytest.mark.parametrize(
        ("how", "message"),
        [({}, "requires specifying either an output size"), ({"output_size": 2, "output_ratio": 0.5}, "only one of")],
        ids=["neither", "both"],
    )
    def test_trap_a_size_or_a_ratio(self, how, message):
        with pytest.raises(ValueError, match=message):
            nn.FractionalMaxPool2d(2, **how)

    def test_fix_adaptive_pooling(self, device):
        x = torch.arange(36.0, device=device).reshape(1, 1, 6, 6)
        assert nn.AdaptiveMaxPool2d(2)(x).tolist() == [[[[14, 17], [32, 35]]]]
