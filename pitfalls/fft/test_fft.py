"""Fourier transforms: half spectra, the length that gets lost, the order of frequencies, and normalization."""

import pytest
import torch

from pitfalls import before, pitfall, since


@pitfall(
    "irfft-needs-the-length",
    docs=[
        ("torch.fft.irfft", "odd signals will not round-trip properly"),
        ("torch.fft.hfft", "By default, the signal is assumed to"),
        "torch.fft.irfftn",
        "torch.fft.irfft2",
        "torch.fft.hfftn",
    ],
    symptom="irfft(rfft(x)) is one shorter than x, and all its values are off",
    priority=1,
)
class TestIrfftNeedsTheLength:
    """``irfft`` can't know whether the signal had an even or an odd length, and takes it for even.

    Five and four samples both have three frequencies. A signal of odd length comes back one shorter, with all values
    changed. Always pass ``n=x.shape[-1]``, or ``s=`` to the transforms of several dimensions.
    """

    @pytest.mark.parametrize(
        ("there", "back"),
        [(torch.fft.rfft, torch.fft.irfft), (torch.fft.ihfft, torch.fft.hfft)],
        ids=["irfft", "hfft"],
    )
    def test_trap_an_odd_signal_comes_back_changed(self, device, there, back):
        x = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], device=device)
        y = back(there(x))
        assert y.shape == (4,)
        assert not torch.allclose(y, x[:4], atol=0.1)

    PAIRS = [
        pytest.param(torch.fft.rfft2, torch.fft.irfft2, id="irfft2"),
        pytest.param(torch.fft.rfftn, torch.fft.irfftn, id="irfftn"),
        pytest.param(torch.fft.ihfft2, torch.fft.hfft2, id="hfft2"),
        pytest.param(torch.fft.ihfftn, torch.fft.hfftn, id="hfftn"),
    ]

    @pytest.mark.parametrize(("there", "back"), PAIRS)
    def test_trap_the_last_dimension_is_taken_for_even(self, device, there, back):
        x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 7.0], [0.0, 1.0, 0.0]], device=device)
        assert back(there(x)).shape == (3, 2)

    @pytest.mark.parametrize("length", [4, 5])
    @pytest.mark.parametrize(
        ("there", "back"),
        [(torch.fft.rfft, torch.fft.irfft), (torch.fft.ihfft, torch.fft.hfft)],
        ids=["irfft", "hfft"],
    )
    def test_fix_pass_the_length(self, device, there, back, length):
        x = torch.arange(1.0, length + 1, device=device)
        torch.testing.assert_close(back(there(x), n=length), x)

    @pytest.mark.parametrize(("there", "back"), PAIRS)
    def test_fix_pass_the_shape(self, device, there, back):
        x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 7.0], [0.0, 1.0, 0.0]], device=device)
        torch.testing.assert_close(back(there(x), s=(3, 3)), x)


@pitfall(
    "irfft-drops-imaginary-parts",
    docs=[("torch.fft.irfft", "frequency term cannot be represented"), "torch.fft.hfft"],
    symptom="a phase that I gave to the zero frequency is ignored by irfft, without an error",
)
class TestIrfftDropsImaginaryParts:
    """``irfft`` and ``hfft`` ignore the imaginary part of the first term, and of the last one for an even length.

    In a real signal these are real, so nothing checks them. A spectrum that was changed by hand doesn't survive the way
    to the signal and back; use ``ifft`` of the full spectrum to see what it means.
    """

    @pytest.mark.parametrize("back", [torch.fft.irfft, torch.fft.hfft], ids=["irfft", "hfft"])
    @pytest.mark.parametrize("changed", [[1 + 5j, 2j, 3 + 0j], [1 + 0j, 2j, 3 + 7j]], ids=["zero", "Nyquist"])
    def test_trap_it_is_ignored(self, device, back, changed):
        plain = torch.tensor([1 + 0j, 2j, 3 + 0j], device=device)
        torch.testing.assert_close(back(torch.tensor(changed, device=device)), back(plain))

    def test_fix_the_full_transform_shows_it(self, device):
        full = torch.tensor([1 + 5j, 2j, 3 + 0j, -2j], device=device)
        assert torch.fft.ifft(full).imag.abs().max().item() > 1


@pitfall(
    "rfft-is-half-a-spectrum",
    docs=[("torch.fft.fft", "of any real signal satisfies the Hermitian property"), "torch.fft.rfft"],
    symptom="rfft expects a real input tensor, but got ComplexFloat; fft of a real signal has twice what rfft gives",
    error="expects a real",
    changed={"2.14": "rfft of a complex tensor raises TypeError; it had been RuntimeError"},
)
class TestRfftIsHalfASpectrum:
    """``fft`` of a real signal has its second half as the mirrored conjugate of the first; ``rfft`` leaves it out.

    The energy of the halves has to be counted twice but for the ends. ``rfft`` refuses complex input, where no half is
    redundant: use ``fft``.
    """

    COMPLEX_REFUSED = [
        pytest.param(torch.fft.rfft, id="rfft"),
        pytest.param(torch.fft.ihfft, id="ihfft"),
        pytest.param(torch.fft.rfftn, id="rfftn"),
    ]

    def test_trap_the_halves_mirror_each_other(self, device):
        x = torch.tensor([1.0, 2.0, 4.0, 8.0, 1.0], device=device)
        full = torch.fft.fft(x)
        torch.testing.assert_close(full[3:], full[1:3].flip(0).conj().resolve_conj())

    @pytest.mark.parametrize("full", [torch.fft.fft2, torch.fft.fftn], ids=["fft2", "fftn"])
    def test_trap_in_more_dimensions_too(self, device, full):
        y = full(torch.tensor([[1.0, 2.0, 4.0], [8.0, 1.0, 0.0]], device=device))
        torch.testing.assert_close(y[1, 2], y[1, 1].conj().resolve_conj())

    @pytest.mark.parametrize("length", [4, 5])
    def test_trap_rfft_has_the_first_half(self, device, length):
        assert torch.fft.rfft(torch.ones(length, device=device)).shape == (3,)

    @before("2.14")
    @pytest.mark.parametrize("half", COMPLEX_REFUSED)
    def test_trap_complex_input_was_refused(self, device, half):
        with pytest.raises(RuntimeError, match="expects a real"):
            half(torch.tensor([1j, 2j], device=device))

    @since("2.14")
    @pytest.mark.parametrize("half", COMPLEX_REFUSED)
    def test_trap_complex_input_is_refused(self, device, half):
        with pytest.raises(TypeError, match="expects a real"):
            half(torch.tensor([1j, 2j], device=device))

    def test_fix_count_the_inner_ones_twice(self, device):
        x = torch.tensor([1.0, 2.0, 4.0, 8.0, 1.0], device=device)
        energy = torch.fft.rfft(x).abs() ** 2
        torch.testing.assert_close((energy[0] + 2 * energy[1:].sum()) / 5, (x**2).sum())


@pitfall(
    "frequencies-start-at-zero",
    docs=[
        ("torch.fft.fftfreq", "positive frequency terms first, followed by the negative"),
        ("torch.fft.rfftfreq", "always returns it as positive"),
        "torch.fft.fftshift",
    ],
    symptom="the plot of the spectrum is torn in the middle; fftshift of fftshift is not the input",
)
class TestFrequenciesStartAtZero:
    """A spectrum starts with frequency zero; the negative frequencies come after the positive ones.

    For an even length the frequency in the middle counts as negative in ``fftfreq`` and as positive in ``rfftfreq``.
    ``fftshift`` brings them in order, and only ``ifftshift`` undoes it for an odd length.
    """

    @pytest.mark.parametrize(
        ("frequencies", "length", "expected"),
        [
            pytest.param(torch.fft.fftfreq, 4, [0, 1, -2, -1], id="fftfreq of 4"),
            pytest.param(torch.fft.fftfreq, 5, [0, 1, 2, -2, -1], id="fftfreq of 5"),
            pytest.param(torch.fft.rfftfreq, 4, [0, 1, 2], id="rfftfreq of 4"),
            pytest.param(torch.fft.rfftfreq, 5, [0, 1, 2], id="rfftfreq of 5"),
        ],
    )
    def test_trap_their_order(self, device, frequencies, length, expected):
        found = frequencies(length, d=1 / length, device=device)
        torch.testing.assert_close(found, torch.tensor(expected, device=device).float())

    def test_trap_shifting_twice_is_not_the_input(self, device):
        x = torch.arange(5, device=device)
        assert torch.fft.fftshift(torch.fft.fftshift(x)).tolist() == [1, 2, 3, 4, 0]

    def test_trap_a_batch_is_shifted_too(self, device):
        x = torch.tensor([[1, 2], [3, 4]], device=device)
        assert torch.fft.fftshift(x).tolist() == [[4, 3], [2, 1]]

    @pytest.mark.parametrize(("length", "expected"), [(4, [-2, -1, 0, 1]), (5, [-2, -1, 0, 1, 2])], ids=["even", "odd"])
    def test_fix_shift_them(self, device, length, expected):
        found = torch.fft.fftshift(torch.fft.fftfreq(length, d=1 / length, device=device))
        torch.testing.assert_close(found, torch.tensor(expected, device=device).float())

    def test_fix_ifftshift_undoes_it(self, device):
        x = torch.arange(5, device=device)
        assert torch.fft.ifftshift(torch.fft.fftshift(x)).tolist() == [0, 1, 2, 3, 4]

    def test_fix_name_the_dimension(self, device):
        x = torch.tensor([[1, 2], [3, 4]], device=device)
        assert torch.fft.fftshift(x, dim=-1).tolist() == [[2, 1], [4, 3]]


@pitfall(
    "fft-norm-is-on-the-way-back",
    docs=["torch.fft.fft", "torch.fft.ifft"],
    symptom="the amplitudes of the spectrum grow with the length of the signal",
)
class TestFftNormIsOnTheWayBack:
    """``fft`` divides by nothing and ``ifft`` by the length; ``norm`` must be the same on both ways.

    ``norm="forward"`` moves the division to ``fft``, so that the first term is the mean; ``"ortho"`` shares it, so that
    the energy stays.
    """

    @pytest.mark.parametrize(
        ("norm", "first"), [(None, 4.0), ("backward", 4.0), ("ortho", 2.0), ("forward", 1.0)], ids=str
    )
    def test_trap_the_first_term(self, device, norm, first):
        x = torch.ones(4, device=device)
        assert torch.fft.fft(x, norm=norm)[0].item() == first

    @pytest.mark.parametrize(("norm", "scale"), [("ortho", 2.0), ("forward", 4.0)], ids=str)
    def test_trap_another_norm_on_the_way_back_scales(self, device, norm, scale):
        x = torch.ones(4, device=device)
        torch.testing.assert_close(torch.fft.ifft(torch.fft.fft(x), norm=norm).real, scale * x)

    @pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
    def test_fix_the_same_norm_both_ways(self, device, norm):
        x = torch.tensor([1.0, 2.0, 3.0, 4.0], device=device)
        torch.testing.assert_close(torch.fft.ifft(torch.fft.fft(x, norm=norm), norm=norm).real, x)


@pitfall(
    "fft-convolves-in-a-circle",
    docs=[("torch.fft.fft", "the input will either be zero-padded"), "torch.fft.irfft"],
    symptom="convolution by FFT differs from conv1d at the edges",
)
class TestFftConvolvesInACircle:
    """A product of spectra is a circular convolution: what runs out at the end comes in at the beginning.

    Pass ``n=`` the sum of the lengths minus one to both transforms, which pads with zeros. A smaller ``n`` than the
    signal cuts it without a word.
    """

    def test_trap_the_end_wraps_around(self, device):
        x, w = torch.tensor([1.0, 2.0, 3.0], device=device), torch.tensor([0.0, 1.0, 1.0], device=device)
        y = torch.fft.irfft(torch.fft.rfft(x) * torch.fft.rfft(w), n=3)
        torch.testing.assert_close(y, torch.tensor([5.0, 4.0, 3.0], device=device))

    def test_trap_a_small_n_cuts(self, device):
        x = torch.tensor([1.0, 2.0, 3.0], device=device)
        assert torch.fft.fft(x, n=2)[0].item() == 3

    def test_fix_pad_both(self, device):
        x, w = torch.tensor([1.0, 2.0, 3.0], device=device), torch.tensor([0.0, 1.0, 1.0], device=device)
        y = torch.fft.irfft(torch.fft.rfft(x, n=5) * torch.fft.rfft(w, n=5), n=5)
        torch.testing.assert_close(y, torch.tensor([0.0, 1.0, 3.0, 5.0, 3.0], device=device))
