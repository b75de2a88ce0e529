"""Switches for TF32 and reduced precision: what is on by default, one switch with two names, and two that exclude."""

import pytest
import torch

from pitfalls import before, child, observe, pitfall, since

MATMUL = torch.backends.cuda.matmul


@pytest.fixture
def switches():
    """The switches of the precision of float32, put back afterwards."""
    was = torch.get_float32_matmul_precision()
    new = hasattr(torch.backends, "fp32_precision")
    backends = [torch.backends, MATMUL, torch.backends.mkldnn.matmul] if new else []
    finer = [(backend, backend.fp32_precision) for backend in backends]
    yield
    for backend, precision in finer:
        backend.fp32_precision = precision
    torch.set_float32_matmul_precision(was)
    for backend, precision in finer:
        backend.fp32_precision = precision


@pitfall(
    "matmul-precision-is-an-internal-one",
    docs=[
        ("torch.set_float32_matmul_precision", "does not change the output dtype of"),
        ("torch.set_float32_matmul_precision", "does not change the precision of convolution operations"),
        "torch.get_float32_matmul_precision",
    ],
    symptom='after set_float32_matmul_precision("highest") convolutions on the GPU still use TF32',
)
class TestMatmulPrecisionIsAnInternalOne:
    """``set_float32_matmul_precision`` is about matrix products inside: results stay float32, convolutions as is.

    TF32 is off for products (``"highest"``) and on for the convolutions of cuDNN unless set otherwise. For those the
    switch is ``torch.backends.cudnn.allow_tf32``.
    """

    def test_trap_products_do_not_use_it_unless_asked(self):
        assert torch.get_float32_matmul_precision() == "highest"
        observe(products=MATMUL.allow_tf32, convolutions=torch.backends.cudnn.allow_tf32)

    @pytest.mark.parametrize("precision", ["high", "medium"])
    def test_trap_the_result_is_float32(self, device, switches, precision):
        torch.set_float32_matmul_precision(precision)
        x = torch.ones(2, 2, device=device)
        assert (x @ x).dtype == torch.float32

    @pytest.mark.parametrize("precision", ["highest", "high", "medium"])
    def test_trap_convolutions_have_their_own(self, switches, precision):
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            torch.set_float32_matmul_precision(precision)
            now = (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32)
        assert now == (precision, False)

    def test_fix_switch_both(self, switches):
        torch.set_float32_matmul_precision("highest")
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            observe(products=MATMUL.allow_tf32, convolutions=torch.backends.cudnn.allow_tf32)
        assert torch.get_float32_matmul_precision() == "highest"


# The refused word spoils the next torch.library call of a process, before torch 2.7.
SETS_ANOTHER_WORD = child("""
import torch
torch.set_float32_matmul_precision("tf32")
print(torch.get_float32_matmul_precision())
""")


@pitfall(
    "matmul-precision-and-allow-tf32-are-one-switch",
    docs=["torch.set_float32_matmul_precision", "torch.get_float32_matmul_precision", "backends"],
    symptom="torch.get_float32_matmul_precision() is 'high', and nobody has set it",
    changed={
        "2.3": "a word that is none of the three gives a Python warning; it had been a line on standard error",
        "2.7": "a word that is none of the three no longer makes the next call into torch.library fail",
    },
)
class TestMatmulPrecisionAndAllowTf32AreOneSwitch:
    """``"high"`` and ``"medium"`` mean ``torch.backends.cuda.matmul.allow_tf32 = True``, and the other way round.

    Whichever is set last holds for both names. It can be set and read without a GPU. A word that isn't one of the three
    is ignored, with a warning; before torch 2.3 that was a line on standard error, which no filter catches.
    """

    @pytest.mark.parametrize(("precision", "tf32"), [("medium", True), ("high", True), ("highest", False)], ids=str)
    def test_trap_the_word_sets_the_flag(self, switches, precision, tf32):
        torch.set_float32_matmul_precision("highest" if tf32 else "high")
        torch.set_float32_matmul_precision(precision)
        assert MATMUL.allow_tf32 is tf32

    def test_trap_the_flag_sets_the_word(self, switches):
        MATMUL.allow_tf32 = True
        assert torch.get_float32_matmul_precision() == "high"

    @since("2.7")
    def test_trap_another_word_is_ignored(self, switches):
        with pytest.warns(UserWarning, match="tf32 is not one of 'highest', 'high', or 'medium'"):
            torch.set_float32_matmul_precision("tf32")
        assert torch.get_float32_matmul_precision() == "highest"

    @before("2.3")
    @pytest.mark.slow
    def test_trap_another_word_was_ignored_with_a_line_of_output(self):
        done = SETS_ANOTHER_WORD()
        assert [done.stdout, "tf32 is not one of" in done.stderr] == ["highest\n", True]

    def test_fix_set_and_check(self, switches):
        torch.set_float32_matmul_precision("high")
        assert torch.get_float32_matmul_precision() == "high"


@since("2.9")
@pitfall(
    "old-and-new-tf32-switches-exclude-each-other",
    docs=["notes/cuda#tensorfloat-32-tf32-on-ampere-and-later-devices", "backends"],
    symptom="RuntimeError: PyTorch is checking whether allow_tf32_new is enabled for cuBlas matmul",
    error="Current status indicate that you have used mix of the legacy and new APIs",
    changed={"2.9": "torch.backends has fp32_precision, and reading allow_tf32 after setting it raises"},
)
class TestOldAndNewTf32SwitchesExcludeEachOther:
    """After ``fp32_precision`` is set, reading ``allow_tf32`` or the matmul precision may raise RuntimeError.

    So a library with the old switch fails in a program with the new one. Setting the old one again ends that state.
    Use one of them throughout.
    """

    def test_trap_the_old_word_cannot_be_read(self, switches):
        MATMUL.fp32_precision = "tf32"
        with pytest.raises(RuntimeError, match="mix of the legacy and new APIs"):
            torch.get_float32_matmul_precision()

    def test_trap_the_old_switch_sets_the_new_one(self, switches):
        torch.set_float32_matmul_precision("high")
        assert MATMUL.fp32_precision == "tf32"

    def test_fix_set_the_old_one_again(self, switches):
        MATMUL.fp32_precision = "tf32"
        torch.set_float32_matmul_precision("highest")
        assert torch.get_float32_matmul_precision() == "highest"


@since("2.9")
@pitfall(
    "specific-fp32-precision-wins",
    docs=["notes/cuda#tensorfloat-32-tf32-on-ampere-and-later-devices", "backends"],
    symptom="torch.backends.fp32_precision = 'ieee' doesn't reach convolutions; RuntimeError: Unknown precision",
    error="Unknown precision:",
    changed={"2.10": "an unknown word for fp32_precision raises, before it had no effect"},
    priority=3,
)
class TestSpecificFp32PrecisionWins:
    """``torch.backends.fp32_precision`` holds for what has none of its own: a backend's or an operator's setting wins.

    Its words are ``"ieee"``, ``"tf32"`` and ``"none"``, where ``"none"`` means the more general one; ``"high"`` belongs
    to the old switch, and is refused since torch 2.10.
    """

    def test_trap_an_own_one_wins(self, switches):
        MATMUL.fp32_precision = torch.backends.mkldnn.matmul.fp32_precision = "ieee"
        torch.backends.fp32_precision = "tf32"
        assert (MATMUL.fp32_precision, torch.get_float32_matmul_precision()) == ("ieee", "highest")

    @since("2.10")
    @pytest.mark.parametrize("word", ["high", "highest", "float32", "TF32"])
    def test_trap_other_words_are_refused(self, switches, word):
        with pytest.raises(RuntimeError, match=f"Unknown precision: {word}"), torch.backends.flags(fp32_precision=word):
            pass

    def test_fix_none_follows_the_general_one(self, switches):
        MATMUL.fp32_precision = torch.backends.mkldnn.matmul.fp32_precision = "none"
        torch.backends.fp32_precision = "ieee"
        assert (MATMUL.fp32_precision, torch.get_float32_matmul_precision()) == ("ieee", "highest")
