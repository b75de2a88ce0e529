"""Short-time transforms and windows: what `stft` insists on, what `istft` loses, and which window is periodic."""

import pytest
import torch

from pitfalls import before, pitfall, since


@pitfall(
    "stft-needs-return-complex",
    docs=[("torch.stft", "must always be given explicitly for real inputs"), "torch.istft"],
    symptom="RuntimeError: stft requires the return_complex parameter be given for real inputs",
    error="stft requires the return_complex parameter be given for real inputs",
    changed={"2.14": "istft of a real tensor raises TypeError; it had been RuntimeError"},
)
class TestStftNeedsReturnComplex:
    """``stft`` of a real signal raises unless ``return_complex`` is given, and ``istft`` takes complex spectra only.

    ``return_complex=False`` still gives real and imaginary parts in a last dimension of two, with a warning; it is
    ``torch.view_as_real`` of the complex result. Old spectra come back by ``torch.view_as_complex``.
    """

    def test_trap_it_raises_without(self, device):
        x, window = torch.arange(8.0, device=device), torch.ones(4, device=device)
        with pytest.raises(RuntimeError, match="requires the return_complex parameter be given for real inputs"):
            torch.stft(x, 4, window=window)

    def test_trap_false_is_deprecated(self, device):
        x, window = torch.arange(8.0, device=device), torch.ones(4, device=device)
        with pytest.warns(UserWarning, match="stft with return_complex=False is deprecated"):
            pairs = torch.stft(x, 4, window=window, return_complex=False)
        spectrum = torch.stft(x, 4, window=window, return_complex=True)
        torch.testing.assert_close(pairs, torch.view_as_real(spectrum))

    @before("2.14")
    def test_trap_istft_refused_pairs(self, device):
        pairs, window = torch.zeros(3, 9, 2, device=device), torch.ones(4, device=device)
        with pytest.raises(RuntimeError, match="istft requires a complex-valued input tensor"):
            torch.istft(pairs, 4, window=window)

    @since("2.14")
    def test_trap_istft_refuses_pairs(self, device):
        pairs, window = torch.zeros(3, 9, 2, device=device), torch.ones(4, device=device)
        with pytest.raises(TypeError, match="istft requires a complex-valued input tensor"):
            torch.istft(pairs, 4, window=window)

    def test_fix_there_and_back(self, device):
        x, window = torch.arange(8.0, device=device), torch.ones(4, device=device)
        pairs = torch.view_as_real(torch.stft(x, 4, window=window, return_complex=True))
        torch.testing.assert_close(torch.istft(torch.view_as_complex(pairs), 4, window=window), x)


@pitfall(
    "stft-without-window-is-rectangular",
    docs=[("torch.stft", "From version 2.1, a warning will be provided"), "torch.istft"],
    symptom="the spectrogram smears over all frequencies; UserWarning: A window was not provided",
    error="A window was not provided. A rectangular window will be applied",
    changed={"2.2": "stft and istft without a window warn that they use a rectangular one"},
)
class TestStftWithoutWindowIsRectangular:
    """``stft`` without ``window`` uses a rectangular one, which leaks into all frequencies; since torch 2.2 it warns.

    librosa and SciPy use a Hann window by default. Pass ``window=torch.hann_window(n)``, and the same to ``istft``.
    """

    @before("2.2")
    def test_trap_ones_were_the_default(self, device):
        x = torch.tensor([1.0, 4.0, 2.0, 8.0, 5.0, 7.0, 1.0, 4.0], device=device)
        found = torch.stft(x, 4, return_complex=True)
        ones = torch.stft(x, 4, window=torch.ones(4, device=device), return_complex=True)
        torch.testing.assert_close(found, ones)

    @since("2.2")
    def test_trap_ones_are_the_default_with_a_warning(self, device):
        x = torch.tensor([1.0, 4.0, 2.0, 8.0, 5.0, 7.0, 1.0, 4.0], device=device)
        with pytest.warns(UserWarning, match="A window was not provided. A rectangular window will be applied"):
            found = torch.stft(x, 4, return_complex=True)
        ones = torch.stft(x, 4, window=torch.ones(4, device=device), return_complex=True)
        torch.testing.assert_close(found, ones)

    @since("2.2")
    def test_trap_istft_warns_too(self, device):
        window = torch.ones(4, device=device)
        spectrum = torch.stft(torch.arange(8.0, device=device), 4, window=window, return_complex=True)
        with pytest.warns(UserWarning, match="A window was not provided"):
            back = torch.istft(spectrum, 4)
        torch.testing.assert_close(back, torch.arange(8.0, device=device))

    def test_fix_a_hann_window(self, device):
        tone = torch.cos(torch.arange(64.0, device=device) * torch.pi / 2)
        window = torch.hann_window(16, device=device)
        energy = torch.stft(tone, 16, window=window, return_complex=True, center=False).abs()
        assert energy[7:].max().item() < 1e-4


@pitfall(
    "istft-needs-the-length",
    docs=[("torch.istft", "may return a shorter signal than the original")],
    symptom="istft(stft(x)) is shorter than x; window overlap add min: 1",
    error="window overlap add min",
)
class TestIstftNeedsTheLength:
    """``istft`` gives whole hops only: what is left over at the end of the signal is lost unless you pass ``length``.

    It also needs every sample covered by the window, which a Hann window doesn't do at its ends with ``center=False``.
    """

    def test_trap_the_end_is_lost(self, device):
        x, window = torch.arange(10.0, device=device), torch.ones(4, device=device)
        spectrum = torch.stft(x, 4, hop_length=4, window=window, return_complex=True)
        assert torch.istft(spectrum, 4, hop_length=4, window=window).shape == (8,)

    def test_trap_a_window_that_ends_at_zero(self, device):
        x, window = torch.arange(16.0, device=device), torch.hann_window(4, device=device)
        spectrum = torch.stft(x, 4, window=window, return_complex=True, center=False)
        with pytest.raises(RuntimeError, match="window overlap add min"):
            torch.istft(spectrum, 4, window=window, center=False)

    def test_fix_pass_the_length(self, device):
        x, window = torch.arange(10.0, device=device), torch.ones(4, device=device)
        spectrum = torch.stft(x, 4, hop_length=4, window=window, return_complex=True)
        torch.testing.assert_close(torch.istft(spectrum, 4, hop_length=4, window=window, length=10), x)


WINDOWS = ["hann", "hamming", "blackman", "bartlett", "kaiser"]


@pitfall(
    "windows-are-periodic-or-symmetric",
    docs=[
        ("torch.hann_window", "returned window trims off the last duplicate value"),
        "torch.signal.windows.hann",
        "torch.kaiser_window",
    ],
    symptom="torch.hann_window(n) differs from torch.signal.windows.hann(n) and from NumPy's and SciPy's",
)
class TestWindowsArePeriodicOrSymmetric:
    """``torch.hann_window`` and its kin are periodic by default, ``torch.signal.windows`` are symmetric by default.

    A periodic window of length n is the symmetric one of length n + 1 without its last value. For an STFT take the
    periodic one, for designing a filter the symmetric one, and say so: ``periodic=`` here, ``sym=`` there.
    """

    @pytest.mark.parametrize("name", WINDOWS)
    def test_trap_the_defaults_differ(self, device, name):
        old = getattr(torch, f"{name}_window")(8, device=device)
        new = getattr(torch.signal.windows, name)(8, device=device)
        assert not torch.allclose(old, new, atol=1e-3)

    @pytest.mark.parametrize("name", WINDOWS)
    def test_trap_the_periodic_one_is_cut(self, device, name):
        old = getattr(torch, f"{name}_window")(8, device=device)
        longer = getattr(torch.signal.windows, name)(9, device=device)
        torch.testing.assert_close(old, longer[:8], rtol=0, atol=1e-5)

    @pytest.mark.parametrize("name", WINDOWS)
    def test_fix_say_which(self, device, name):
        old = getattr(torch, f"{name}_window")(8, periodic=False, device=device)
        new = getattr(torch.signal.windows, name)(8, sym=True, device=device)
        torch.testing.assert_close(old, new, rtol=0, atol=1e-5)

    @pytest.mark.parametrize("periodic", [True, False], ids=["periodic", "symmetric"])
    @pytest.mark.parametrize("name", WINDOWS)
    def test_trap_a_window_of_one_is_one(self, device, name, periodic):
        assert getattr(torch, f"{name}_window")(1, periodic=periodic, device=device).tolist() == [1]
