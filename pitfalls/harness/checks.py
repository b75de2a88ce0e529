"""What a pitfall must be, checked when its class is collected."""

from __future__ import annotations

import importlib
import re
from typing import Any

from pitfalls.harness import versions
from pitfalls.harness.marks import Pitfall

KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
TEST_NAME = re.compile(r"test_(trap|fix)_\w+")
MOST_PHRASE_WORDS = 8

#: Pages of torch's manual, by their path without the suffix, that state behaviour.
MANUAL = frozenset(
    """
    notes/amp_examples notes/autograd notes/broadcasting notes/cpu_threading_torchscript_inference notes/cuda
    notes/custom_operators notes/ddp notes/extending notes/extending.func notes/faq notes/get_start_xpu notes/gradcheck
    notes/hip notes/large_scale_deployments notes/modules notes/mps notes/multiprocessing notes/numerical_accuracy
    notes/out notes/randomness notes/serialization notes/windows
    accelerator amp autograd backends benchmark_utils bottleneck checkpoint complex_numbers cond cuda data
    ddp_comm_hooks deterministic distributed distributed.algorithms.join distributed.checkpoint distributed.fsdp
    distributed.optim distributed.tensor distributed.tensor.parallel distributions dlpack export fft func func.api
    func.batch_norm func.migrating func.ux_limitations func.whirlwind_tour futures fx hub jit jit_language_reference
    jit_unsupported library linalg masked meta mobile_optimizer model_zoo monitor mps multiprocessing name_inference
    named_tensor nested nn nn.attention nn.functional nn.init optim package profiler quantization random rpc signal
    sparse special storage tensor_attributes tensor_view tensorboard tensors testing torch torch.compiler
    torch.compiler_faq torch.compiler_troubleshooting torch.overrides torch_environment_variables type_info
    user_guide utils
    """.split()  # noqa: SIM905 - as a list of strings it would fill two screens
)


def resolve(name: str) -> Any:
    """The object that a dotted name such as ``torch.Tensor.backward`` stands for.

    Raises:
        LookupError: if this torch has no such name.
    """
    import torch

    parts = name.split(".")
    if parts[0] != "torch":
        raise LookupError(f"{name} is no name in torch")
    found: Any = torch
    for depth, part in enumerate(parts[1:], start=2):
        try:
            found = getattr(found, part)
        except AttributeError:
            try:
                found = importlib.import_module(".".join(parts[:depth]))
            except ImportError:
                raise LookupError(f"this torch has no {name}") from None
    return found


def normalised(text: str | None) -> str:
    """A docstring as one line of words, so that how it is wrapped does not matter."""
    return " ".join((text or "").split())


def entry(doc: str | tuple[str, str]) -> tuple[str, str | None]:
    """A ``docs=`` entry as its name and its phrase, if it has one."""
    return (doc, None) if isinstance(doc, str) else (doc[0], doc[1])


def missing_phrases(pitfall: Pitfall) -> list[str]:
    """The documented phrases of a pitfall that this torch's docstrings do not have, as ``name: phrase``."""
    missing = []
    for name, phrase in map(entry, pitfall.docs):
        if phrase is not None:
            try:
                documented = normalised(getattr(resolve(name), "__doc__", ""))
            except LookupError:
                documented = ""
            if normalised(phrase) not in documented:
                missing.append(f"{name}: {phrase}")
    return missing


def _docs_breaches(pitfall: Pitfall, torch_version: str) -> list[str]:
    breaches = []
    if not pitfall.docs or isinstance(pitfall.docs, str):
        return ["docs= must list where torch documents the behaviour"]
    for name, phrase in map(entry, pitfall.docs):
        if name.partition(".")[0] == "torch" and "/" not in name and name.partition("#")[0] not in MANUAL:
            # A name that a torch newer than the suite no longer has is news for its user, not a mistake in the suite.
            unheard_of = versions.release(torch_version)[:2] > versions.release(versions.NEWEST_KNOWN)
            try:
                resolve(name)
            except LookupError as error:
                if not unheard_of:
                    breaches.append(f"docs= names {name}, but {error}")
        elif name.partition("#")[0] not in MANUAL:
            breaches.append(f"docs= names {name}, which is neither a name in torch nor a known page of its manual")
        elif phrase is not None:
            breaches.append(f"docs= gives a phrase for the page {name}; only docstrings can be searched for one")
        if phrase is not None and not 1 <= len(phrase.split()) <= MOST_PHRASE_WORDS:
            breaches.append(f"the phrase for {name} must have 1 to {MOST_PHRASE_WORDS} words: {phrase!r}")
    return breaches


def breaches(cls: type, torch_version: str, applicable: bool) -> list[str]:
    """What a test class lacks to be a pitfall, each as a sentence; empty if it lacks nothing.

    Args:
        cls: the test class.
        torch_version: of the running torch.
        applicable: whether the pitfall is about this torch at all; the names in its docs= are looked up only then.
    """
    pitfall: Pitfall | None = vars(cls).get("__pitfall__")
    if pitfall is None:
        return ["a test class of the catalogue needs the @pitfall(...) decorator"]
    found = []
    if not KEBAB.fullmatch(pitfall.slug):
        found.append(f"the slug {pitfall.slug!r} is not kebab-case")
    first_line = (cls.__doc__ or "").strip().partition("\n")[0].strip()
    if not first_line.endswith(".") or len(first_line.split()) < 3:
        found.append("the first line of the docstring must be a statement that ends with a full stop")
    tests = [name for name in vars(cls) if name.startswith("test")]
    if not any(name.startswith("test_trap_") for name in tests):
        found.append("there is no test_trap_* that shows what torch does")
    found += [f"{name} is neither test_trap_* nor test_fix_*" for name in tests if not TEST_NAME.fullmatch(name)]
    if not pitfall.symptom.strip():
        found.append("symptom= must say what somebody who has fallen in sees")
    if pitfall.error is not None and not pitfall.error.strip():
        found.append("error= is empty")
    if pitfall.priority not in (1, 2, 3):
        found.append(f"priority= is 1, 2 or 3, not {pitfall.priority!r}")
    found += [f"changed= has the key {key!r}, not a release" for key in pitfall.changed if not _is_release(key)]
    named = {entry(doc)[0] for doc in pitfall.docs}
    found += [
        f"contradicts= has the key {key!r}, which docs= does not name" for key in set(pitfall.contradicts) - named
    ]
    if applicable:
        found += _docs_breaches(pitfall, torch_version)
    return found


def _is_release(text: str) -> bool:
    return re.fullmatch(r"\d+\.\d+(\.\d+)?", text) is not None
