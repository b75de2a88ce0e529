"""Transformer layers: what the fast path of eval mode makes of padding, and the dtype of the causal mask."""

import pytest
import torch

from pitfalls import before, on, pitfall, since

PROTOTYPE = "nested tensors is in prototype stage"


@pitfall(
    "encoder-zeroes-padding-in-eval",
    docs=[("torch.nn.TransformerEncoder", "input will automatically convert to nested tensor")],
    symptom="the output of a TransformerEncoder is zero, or shorter, at padded positions, but only in eval mode",
    changed={"2.1": "the output keeps the length of the input; it had been cut to the longest sequence of the batch"},
)
class TestEncoderZeroesPaddingInEval:
    """In eval mode without gradients a ``TransformerEncoder`` skips what is padded, and gives zeros there.

    With a padding mask it converts the batch to a nested tensor, which has no padding, and back. In training the padded
    positions have values, so that what pools over all positions (a mean, a maximum) computes something else in eval
    mode. Pool with the mask, or pass ``enable_nested_tensor=False``.
    """

    @before("2.1")
    def test_trap_output_was_cut(self, device, seeded):
        layer = torch.nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True, device=device)
        encoder = torch.nn.TransformerEncoder(layer, 2).eval()
        x, padding = torch.rand(2, 3, 4, device=device), torch.tensor([[0, 0, 1], [0, 1, 1]], device=device).bool()
        with torch.no_grad(), pytest.warns(UserWarning, match=PROTOTYPE):
            y = encoder(x, src_key_padding_mask=padding)
        assert (y == 0).all(2).tolist() == [[False, False], [False, True]]

    @since("2.1")
    def test_trap_padding_becomes_zero(self, device, seeded):
        layer = torch.nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True, device=device)
        encoder = torch.nn.TransformerEncoder(layer, 2).eval()
        x, padding = torch.rand(2, 3, 4, device=device), torch.tensor([[0, 0, 1], [0, 1, 1]], device=device).bool()
        with torch.no_grad(), pytest.warns(UserWarning, match=PROTOTYPE):
            y = encoder(x, src_key_padding_mask=padding)
        assert (y == 0).all(2).tolist() == padding.tolist()

    @pytest.mark.parametrize("training", [True, False], ids=["training", "eval with gradients"])
    def test_trap_elsewhere_padding_has_values(self, device, seeded, training):
        layer = torch.nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True, device=device)
        encoder = torch.nn.TransformerEncoder(layer, 2).train(training)
        x, padding = torch.rand(2, 3, 4, device=device), torch.tensor([[0, 0, 1], [0, 1, 1]], device=device).bool()
        y = encoder(x, src_key_padding_mask=padding)
        assert not (y == 0).any()

    @since("2.1")
    def test_fix_without_nested_tensors(self, device, seeded):
        layer = torch.nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True, device=device)
        encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        x, padding = torch.rand(2, 3, 4, device=device), torch.tensor([[0, 0, 1], [0, 1, 1]], device=device).bool()
        trained = encoder(x, src_key_padding_mask=padding)
        with torch.no_grad():
            evaluated = encoder.eval()(x, src_key_padding_mask=padding)
        torch.testing.assert_close(evaluated, trained.detach())

    @since("2.1")
    def test_fix_pool_with_the_mask(self, device, seeded):
        layer = torch.nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True, device=device)
        encoder = torch.nn.TransformerEncoder(layer, 2)
        x, padding = torch.rand(2, 3, 4, device=device), torch.tensor([[0, 0, 1], [0, 1, 1]], device=device).bool()
        trained = encoder(x, src_key_padding_mask=padding)
        with torch.no_grad(), pytest.warns(UserWarning, match=PROTOTYPE):
            evaluated = encoder.eval()(x, src_key_padding_mask=padding)
        kept = ~padding[..., None]
        pooled = [(kept * y).sum(1) / kept.sum(1) for y in (trained, evaluated)]
        torch.testing.assert_close(*pooled)


@pitfall(
    "encoder-fully-padded-batch",
    docs=["torch.nn.TransformerEncoder", "torch.nested.to_padded_tensor"],
    symptom="RuntimeError: to_padded_tensor: at least one constituent tensor should have non-zero numel",
    error="at least one constituent tensor should have non-zero numel",
    changed={
        "2.1": "the output of a fully padded batch is zeros of the input's length; it had been empty",
        "2.2": "a fully padded batch raises in eval mode",
    },
    priority=3,
)
class TestEncoderFullyPaddedBatch:
    """In eval mode a ``TransformerEncoder`` refuses a batch in which every position is padded.

    As a nested tensor such a batch has no elements, and can't be converted back. It comes up as the rest of a data set,
    or as an empty document. A single sequence that is fully padded passes unnoticed. Leave the batch out, or keep one
    position of each sequence.
    """

    @before("2.1")
    @on("cpu")
    def test_trap_output_was_empty(self, device, seeded):
        layer = torch.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, device=device)
        encoder = torch.nn.TransformerEncoder(layer, 2).eval()
        with torch.no_grad(), pytest.warns(UserWarning, match=PROTOTYPE):
            y = encoder(torch.rand(1, 3, 4, device=device), src_key_padding_mask=torch.ones(1, 3, device=device).bool())
        assert y.shape == (1, 0, 4)

    @since("2.1")
    @before("2.2")
    @on("cpu")
    def test_trap_output_was_zero(self, device, seeded):
        layer = torch.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, device=device)
        encoder = torch.nn.TransformerEncoder(layer, 2).eval()
        with torch.no_grad(), pytest.warns(UserWarning, match=PROTOTYPE):
            y = encoder(torch.rand(1, 3, 4, device=device), src_key_padding_mask=torch.ones(1, 3, device=device).bool())
        assert y.tolist() == [[[0, 0, 0, 0]] * 3]

    @since("2.2")
    @on("cpu")
    def test_trap_it_is_refused(self, device, seeded):
        layer = torch.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, device=device)
        encoder = torch.nn.TransformerEncoder(layer, 2).eval()
        x, padding = torch.rand(1, 3, 4, device=device), torch.ones(1, 3, device=device).bool()
        with torch.no_grad(), pytest.warns(UserWarning, match=PROTOTYPE):
            with pytest.raises(RuntimeError, match="at least one constituent tensor should have non-zero numel"):
                encoder(x, src_key_padding_mask=padding)

    @since("2.1")
    @on("cpu")
    def test_trap_one_such_sequence_is_zero(self, device, seeded):
        layer = torch.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, device=device)
        encoder = torch.nn.TransformerEncoder(layer, 2).eval()
        x, padding = torch.rand(2, 3, 4, device=device), torch.tensor([[0, 0, 1], [1, 1, 1]], device=device).bool()
        with torch.no_grad(), pytest.warns(UserWarning, match=PROTOTYPE):
            y = encoder(x, src_key_padding_mask=padding)
        assert (y == 0).all(2).tolist() == padding.tolist()

    @since("2.1")
    def test_fix_keep_one_position(self, device, seeded):
        layer = torch.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, device=device)
        encoder = torch.nn.TransformerEncoder(layer, 2).eval()
        x, padding = torch.rand(1, 3, 4, device=device), torch.ones(1, 3, device=device).bool()
        padding[padding.all(1), 0] = False
        with torch.no_grad(), pytest.warns(UserWarning, match=PROTOTYPE):
            y = encoder(x, src_key_padding_mask=padding)
        assert (y == 0).all(2).tolist() == [[False, True, True]]


UNSUITABLE = [
    pytest.param({}, "batch_first was not True", id="sequence first"),
    pytest.param({"batch_first": True, "norm_first": True}, "norm_first was True", id="norm first"),
    pytest.param({"batch_first": True, "nhead": 1}, "num_heads is odd", id="odd number of heads"),
    pytest.param({"batch_first": True, "activation": torch.tanh}, "activation_relu_or_gelu was not", id="activation"),
    pytest.param({"batch_first": True, "bias": False}, "was passed bias=False", id="no bias", marks=since("2.3")),
]


@pitfall(
    "encoder-cannot-use-nested-tensors",
    docs=[
        ("torch.nn.TransformerEncoder", "improve the overall performance of TransformerEncoder when padding"),
        "torch.nn.TransformerEncoderLayer",
    ],
    symptom="UserWarning: enable_nested_tensor is True, but self.use_nested_tensor is False",
    error="enable_nested_tensor is True, but self.use_nested_tensor is False",
    changed={
        "2.1": "TransformerEncoder, and Transformer with it, warns when it is built; it had said nothing",
        "2.3": "layers without a bias are among what prevents it",
    },
)
class TestEncoderCannotUseNestedTensors:
    """By default a ``TransformerEncoder`` is to skip padding in eval mode, and most settings of its layers prevent it.

    The default layer (``batch_first=False``) is among them, so the plainest encoder or ``Transformer`` warns. Nothing
    is wrong with its output: padded positions are computed, as in training. Pass ``batch_first=True`` for the faster
    path, or ``enable_nested_tensor=False`` if you don't care.
    """

    @before("2.1")
    def test_trap_padding_was_computed_without_a_word(self, device, seeded):
        layer = torch.nn.TransformerEncoderLayer(4, 2, 8, device=device)
        encoder = torch.nn.TransformerEncoder(layer, 2).eval()
        padding = torch.tensor([[0, 0, 0], [0, 0, 0], [0, 0, 1]], device=device).bool()
        with torch.no_grad():
            y = encoder(torch.rand(3, 3, 4, device=device), src_key_padding_mask=padding)
        assert not (y == 0).any()

    @since("2.1")
    @pytest.mark.parametrize(("options", "reason"), UNSUITABLE)
    def test_trap_it_warns_when_built(self, device, seeded, options, reason):
        layer = torch.nn.TransformerEncoderLayer(**{"d_model": 4, "nhead": 2, "dim_feedforward": 8, **options})
        with pytest.warns(UserWarning, match=f"self.use_nested_tensor is False because .*{reason}"):
            torch.nn.TransformerEncoder(layer.to(device), 2)

    @since("2.1")
    def test_trap_default_transformer_warns(self, device, seeded):
        with pytest.warns(UserWarning, match="self.use_nested_tensor is False because .*batch_first was not True"):
            torch.nn.Transformer(4, 2, 1, 1, 8, device=device)

    @pytest.mark.parametrize("activation", ["relu", "gelu"])
    def test_fix_batch_first(self, device, seeded, activation):
        layer = torch.nn.TransformerEncoderLayer(4, 2, 8, activation=activation, batch_first=True, device=device)
        encoder = torch.nn.TransformerEncoder(layer, 2).eval()
        x, padding = torch.rand(2, 3, 4, device=device), torch.tensor([[0, 0, 0], [0, 1, 1]], device=device).bool()
        with torch.no_grad(), pytest.warns(UserWarning, match=PROTOTYPE):
            y = encoder(x, src_key_padding_mask=padding)
        assert (y == 0).all(2).tolist() == padding.tolist()

    def test_fix_do_without(self, device, seeded):
        layer = torch.nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, device=device)
        encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        x, padding = torch.rand(3, 2, 4, device=device), torch.tensor([[0, 0, 0], [0, 1, 1]], device=device).bool()
        trained = encoder(x, src_key_padding_mask=padding)
        with torch.no_grad():
            evaluated = encoder.eval()(x, src_key_padding_mask=padding)
        torch.testing.assert_close(evaluated, trained.detach())


@pytest.fixture
def default_float64():
    """float64 as the default dtype, put back afterwards."""
    was = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(was)


@pitfall(
    "causal-mask-dtype",
    docs=[
        ("torch.nn.Transformer.generate_square_subsequent_mask", "mask for the sequence"),
        "torch.set_default_dtype",
    ],
    symptom="RuntimeError: Expected attn_mask dtype to be bool or to match query dtype",
    error="Expected attn_mask dtype to be bool or to match query dtype",
    changed={
        "2.1": "the causal mask is float32 whatever the default dtype, unless it is told its dtype",
        "2.4": "attention accepts a float32 mask with another dtype",
        "2.6": "the causal mask follows the default dtype and the default device",
    },
)
class TestCausalMaskDtype:
    """``generate_square_subsequent_mask`` knows nothing of your model: without ``dtype=`` and ``device=`` it guesses.

    It is a static method, so its mask has the default dtype (in torch 2.1 to 2.5 always float32), not the one of the
    model, and a GPU or a float64 model can trip over it. Give it both arguments, or make a boolean mask.
    """

    @pytest.mark.parametrize(
        "dtype",
        [
            pytest.param(torch.float64, id="float64", marks=before("2.1")),
            pytest.param(torch.float32, id="float32", marks=[since("2.1"), before("2.6")]),
            pytest.param(torch.float64, id="float64 again", marks=since("2.6")),
        ],
    )
    def test_trap_dtype_under_default_float64(self, default_float64, dtype):
        assert torch.nn.Transformer.generate_square_subsequent_mask(2).dtype == dtype

    @pytest.mark.parametrize(
        "kind",
        [pytest.param("cpu", id="cpu", marks=before("2.6")), pytest.param("meta", id="meta", marks=since("2.6"))],
    )
    def test_trap_device_under_default_meta(self, kind):
        with torch.device("meta"):
            mask = torch.nn.Transformer.generate_square_subsequent_mask(2)
        assert mask.device.type == kind

    def test_trap_model_of_another_dtype_is_not_followed(self, device, seeded):
        model = torch.nn.Transformer(4, 2, 1, 1, 8, batch_first=True, device=device).double()
        assert model.generate_square_subsequent_mask(2).dtype == torch.float32

    @since("2.1")
    @before("2.4")
    def test_trap_attention_refused_the_mask(self, device):
        q = torch.ones(1, 1, 2, 2, dtype=torch.float64, device=device)
        mask = torch.nn.Transformer.generate_square_subsequent_mask(2, device=device)
        with pytest.raises(RuntimeError, match="Expected attn_mask dtype to be bool or to match query dtype"):
            torch.nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=mask)

    @since("2.1")
    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
    def test_fix_give_it_dtype_and_device(self, device, dtype):
        mask = torch.nn.Transformer.generate_square_subsequent_mask(2, device=device, dtype=dtype)
        torch.testing.assert_close(mask, torch.tensor([[0, -torch.inf], [0, 0]], device=device, dtype=dtype))

    def test_fix_boolean_mask(self, device):
        q = torch.tensor([[[[1.0], [2.0]]]], dtype=torch.float64, device=device)
        allowed = torch.ones(2, 2, dtype=torch.bool, device=device).tril()
        y = torch.nn.functional.scaled_dot_product_attention(0 * q, q, q, attn_mask=allowed)
        assert y.flatten().tolist() == [1, 1.5]
