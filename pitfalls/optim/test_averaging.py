"""Averaged weights (SWA, EMA): what `AveragedModel` averages, when, and what is left for you to do."""

import pytest
import torch
from torch import nn
from torch.optim import swa_utils

from pitfalls import pitfall, since


@pitfall(
    "averaged-model-batch-norm",
    docs=[
        ("torch.optim.swa_utils.AveragedModel", "for both the parameters and the buffers"),
        ("torch.optim.swa_utils.update_bn", "Update BatchNorm running_mean, running_var buffers in"),
        "optim#taking-care-of-batch-normalization",
    ],
    symptom="the SWA or EMA model is far worse in evaluation than the model that it averages",
)
class TestAveragedModelBatchNorm:
    """``AveragedModel`` averages parameters only: batch-norm statistics are copied from the latest model.

    They do not fit the averaged weights. Run ``update_bn(loader, averaged)`` after training, which computes them anew
    from the data, or average the buffers as well with ``use_buffers=True``.
    """

    def test_trap_statistics_are_those_of_the_last_model(self, device):
        model = nn.BatchNorm1d(1, device=device)
        averaged = swa_utils.AveragedModel(model)
        for mean in (10.0, 30.0):
            model.running_mean.fill_(mean)
            averaged.update_parameters(model)
        assert averaged.module.running_mean.item() == 30

    def test_fix_update_bn_reads_the_data(self, device):
        averaged = swa_utils.AveragedModel(nn.BatchNorm1d(1, device=device))
        averaged.module.running_mean.fill_(30.0)
        swa_utils.update_bn([torch.full((2, 1), 1.0, device=device), torch.full((2, 1), 2.0, device=device)], averaged)
        assert averaged.module.running_mean.item() == 1.5

    def test_fix_average_the_buffers(self, device):
        model = nn.BatchNorm1d(1, device=device)
        averaged = swa_utils.AveragedModel(model, use_buffers=True)
        for mean in (10.0, 30.0):
            model.running_mean.fill_(mean)
            averaged.update_parameters(model)
        assert averaged.module.running_mean.item() == 20


@pitfall(
    "averaged-model-first-update-copies",
    docs=[
        ("torch.optim.swa_utils.AveragedModel", "is called for the first time"),
        "optim#constructing-averaged-models",
    ],
    symptom="the averaged model is not the average of the weights that I expect",
)
class TestAveragedModelFirstUpdateCopies:
    """The first ``update_parameters`` copies the model; the weights from when it was built are never in the average.

    Nothing is averaged by itself either: without a call after each step or epoch ``AveragedModel`` stays what it was
    when built. ``n_averaged`` says how many models are in it.
    """

    def test_trap_first_weights_are_replaced(self, device):
        model = nn.LayerNorm(1, device=device)
        averaged = swa_utils.AveragedModel(model)
        nn.init.constant_(model.weight, 5.0)
        averaged.update_parameters(model)
        assert averaged.module.weight.item() == 5

    def test_trap_nothing_happens_by_itself(self, device):
        model = nn.LayerNorm(1, device=device)
        averaged = swa_utils.AveragedModel(model)
        model.weight.grad = torch.tensor([-1.0], device=device)
        torch.optim.SGD(model.parameters(), lr=1.0).step()
        assert model.weight.item() == 2
        assert averaged.module.weight.item() == 1

    def test_fix_update_with_the_first_weights_too(self, device):
        model = nn.LayerNorm(1, device=device)
        averaged = swa_utils.AveragedModel(model)
        averaged.update_parameters(model)
        nn.init.constant_(model.weight, 5.0)
        averaged.update_parameters(model)
        assert (averaged.module.weight.item(), averaged.n_averaged.item()) == (3, 2)


@since("2.1")
@pitfall(
    "averaging-is-uniform-by-default",
    docs=[
        ("torch.optim.swa_utils.AveragedModel", "an equally weighted average is used"),
        ("torch.optim.swa_utils.get_ema_multi_avg_fn", "applying exponential moving average"),
    ],
    symptom="AveragedModel is no exponential moving average; the EMA hardly moves in a short run",
    changed={"2.6": "get_ema_multi_avg_fn refuses a decay outside of 0 to 1"},
)
class TestAveragingIsUniformByDefault:
    """``AveragedModel`` gives every model the same weight; an exponential average must be asked for, and is slow.

    ``get_ema_multi_avg_fn()`` keeps 0.999 of the average at each update: after 100 updates nine tenths of it are still
    the first model. Choose a decay that suits the number of updates.
    """

    def test_trap_every_model_counts_the_same(self, device):
        model = nn.LayerNorm(1, device=device)
        averaged = swa_utils.AveragedModel(model)
        for weight in (0.0, 0.0, 0.0, 8.0):
            nn.init.constant_(model.weight, weight)
            averaged.update_parameters(model)
        assert averaged.module.weight.item() == 2

    def test_trap_default_decay_is_slow(self, device):
        model = nn.LayerNorm(1, device=device)
        averaged = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn())
        for weight in (0.0, 1000.0):
            nn.init.constant_(model.weight, weight)
            averaged.update_parameters(model)
        assert round(averaged.module.weight.item(), 3) == 1

    @since("2.6")
    @pytest.mark.parametrize("decay", [-0.5, 1.5], ids=str)
    def test_trap_decay_out_of_range_is_refused(self, decay):
        with pytest.raises(ValueError, match="Invalid decay value"):
            swa_utils.get_ema_multi_avg_fn(decay)

    def test_fix_choose_the_decay(self, device):
        model = nn.LayerNorm(1, device=device)
        averaged = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.5))
        for weight in (0.0, 0.0, 0.0, 8.0):
            nn.init.constant_(model.weight, weight)
            averaged.update_parameters(model)
        assert averaged.module.weight.item() == 4


@pitfall(
    "averaging-function-is-not-saved",
    docs=["torch.optim.swa_utils.AveragedModel", ("torch.optim.swa_utils.AveragedModel", "are not saved in the")],
    symptom="a resumed EMA averages uniformly; Unexpected key(s) in state_dict: n_averaged when loading into the model",
)
class TestAveragingFunctionIsNotSaved:
    """The state dict of an ``AveragedModel`` has ``n_averaged`` and keys under ``module.``, but no averaging function.

    Build it with the same ``avg_fn`` before loading, or the average goes on uniformly. For a plain model save
    ``averaged.module.state_dict()``.
    """

    def test_trap_resumed_average_is_uniform(self, device):
        model = nn.LayerNorm(1, device=device)
        averaged = swa_utils.AveragedModel(model, avg_fn=lambda old, new, _: old * 0.25 + new * 0.75)
        averaged.update_parameters(model)
        resumed = swa_utils.AveragedModel(model)
        resumed.load_state_dict(averaged.state_dict())
        nn.init.constant_(model.weight, 9.0)
        resumed.update_parameters(model)
        assert resumed.module.weight.item() == 5

    def test_trap_keys_are_not_those_of_the_model(self, device):
        averaged = swa_utils.AveragedModel(nn.LayerNorm(1, device=device))
        assert sorted(averaged.state_dict()) == ["module.bias", "module.weight", "n_averaged"]

    def test_fix_give_it_again(self, device):
        model = nn.LayerNorm(1, device=device)
        averaged = swa_utils.AveragedModel(model, avg_fn=lambda old, new, _: old * 0.25 + new * 0.75)
        averaged.update_parameters(model)
        resumed = swa_utils.AveragedModel(model, avg_fn=lambda old, new, _: old * 0.25 + new * 0.75)
        resumed.load_state_dict(averaged.state_dict())
        nn.init.constant_(model.weight, 9.0)
        resumed.update_parameters(model)
        assert resumed.module.weight.item() == 7

    def test_fix_save_the_inner_module(self, device):
        averaged = swa_utils.AveragedModel(nn.LayerNorm(1, device=device))
        assert sorted(averaged.module.state_dict()) == ["bias", "weight"]


@pitfall(
    "update-bn-takes-the-first-of-a-batch",
    docs=[("torch.optim.swa_utils.update_bn", "element of the list or tuple corresponding to")],
    symptom="update_bn fails for a loader that yields dicts, or for a model with two inputs",
    priority=3,
)
class TestUpdateBnTakesTheFirstOfABatch:
    """``update_bn`` calls the model with the first element of each batch alone, whatever else the loader yields.

    That suits (inputs, labels). A dict is passed as it is, and a model with two inputs fails. Wrap the loader in a
    generator that yields what the model takes.
    """

    def test_trap_only_the_first_is_used(self, device):
        model = nn.BatchNorm1d(1, device=device)
        batch = (torch.full((2, 1), 8.0, device=device), torch.full((2, 1), 4.0, device=device))
        swa_utils.update_bn([batch], model)
        assert model.running_mean.item() == 8

    def test_fix_yield_what_the_model_takes(self, device):
        model = nn.BatchNorm1d(1, device=device)
        batches = [{"x": torch.full((2, 1), 8.0, device=device)}]
        swa_utils.update_bn((batch["x"] for batch in batches), model)
        assert model.running_mean.item() == 8
