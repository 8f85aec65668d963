"""The trainer: it learns, it can be interrupted anywhere, and what it exports is the model that it trained."""

import dataclasses
import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

import vlm.checkpoints.atomic_write
from toybox import MASK_VQVAE_FILE
from toybox import train as training
from toybox.batches import GROUPS, TrainingBatches
from toybox.recipe import Recipe, toybox_config
from toybox.scenes import draw_scene
from toybox.train import Trainer, export, make_optimizers, train
from vlm.loader import load_hf_model
from vlm.parallel.processes import ALONE
from vlm.regions.mask_vqvae import load_mask_decoder, load_mask_encoder

RECIPE = Recipe(scenes_per_step=2, look_steps=2, speak_steps=4, warmup_steps=2)


def tiny_config(vocab_size: int, image_token_index: int):
    """The Toybox's model with one thin layer on each side."""
    config = toybox_config(vocab_size, image_token_index)
    vision, text = config.vision_config, config.text_config
    vision = dataclasses.replace(
        vision, hidden_size=24, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    text = dataclasses.replace(text, hidden_size=16, intermediate_size=32, num_hidden_layers=1, head_dim=8)
    return dataclasses.replace(config, vision_config=vision, text_config=text)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """On so small a model a second thread only costs time, most of all while another program uses the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def tiny_and_uncompiled(monkeypatch):
    monkeypatch.setattr(training, "toybox_config", tiny_config)
    monkeypatch.setattr(Trainer, "compile", lambda self: None)


def make_batches(recipe: Recipe, processor, first_step: int) -> TrainingBatches:
    mask_encoder, mask_decoder = load_mask_encoder(MASK_VQVAE_FILE), load_mask_decoder(MASK_VQVAE_FILE)
    return TrainingBatches(recipe, processor, mask_encoder, mask_decoder, first_step)


def run(trainer: Trainer, num_steps: int) -> list[dict[str, torch.Tensor]]:
    batches = iter(make_batches(trainer.recipe, trainer.processor, trainer.step))
    return [trainer.train_step(next(batches)) for _ in range(num_steps)]


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    both = {**trainer.model.state_dict(), **{f"probe.{k}": v for k, v in trainer.probe.state_dict().items()}}
    return {name: tensor.clone() for name, tensor in both.items()}


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]):
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@pytest.fixture
def saved(tmp_path) -> Trainer:
    """A run interrupted after three of its six steps."""
    trainer = Trainer(RECIPE, tmp_path, "cpu")
    run(trainer, 3)
    trainer.save()
    return trainer


def test_a_few_steps_lower_the_loss_and_nothing_is_nan(tmp_path):
    recipe = Recipe(scenes_per_step=2, look_steps=0, speak_steps=100, warmup_steps=1, speak_learning_rate=2e-2)
    trainer = Trainer(recipe, tmp_path, "cpu")
    batch = make_batches(recipe, trainer.processor, 0).make_batch(0)
    losses = [trainer.train_step(batch) for _ in range(12)]  # one batch again and again, to be learned by heart
    assert all(loss.isfinite() for step in losses for loss in step.values())
    assert all(tensor.isfinite().all() for tensor in weights(trainer).values())
    assert losses[-1]["captions"] < 0.7 * losses[0]["captions"]
    assert losses[-1]["boxes"] < 0.9 * losses[0]["boxes"]
    assert losses[-1]["dense"] < losses[0]["dense"]


def test_the_first_loss_is_that_of_a_model_that_knows_nothing(tmp_path):
    trainer = Trainer(dataclasses.replace(RECIPE, look_steps=0, scenes_per_step=32), tmp_path, "cpu")
    losses = run(trainer, 1)[0]
    for name, group in GROUPS.items():
        assert losses[name].item() / group.weight == pytest.approx(math.log(len(trainer.processor.tokenizer)), abs=1.5)


def test_the_language_model_stays_as_it_is_while_the_tower_learns_to_look(tmp_path):
    trainer = Trainer(RECIPE, tmp_path, "cpu")
    before = weights(trainer)
    assert [list(losses) for losses in run(trainer, 2)] == [["dense"], ["dense"]]
    changed = {name.split(".")[0] for name, tensor in weights(trainer).items() if not torch.equal(tensor, before[name])}
    assert changed == {"vision_tower", "probe"}


def test_every_weight_learns_once_there_are_words(tmp_path):
    trainer = Trainer(RECIPE, tmp_path, "cpu")
    run(trainer, 2)
    before = weights(trainer)
    assert list(run(trainer, 1)[0]) == ["dense", "captions", "answers", "boxes", "many_boxes", "mask", "masks"]
    assert [name for name, tensor in weights(trainer).items() if torch.equal(tensor, before[name])] == []


def test_the_head_stays_tied_to_the_embedding(tmp_path):
    trainer = Trainer(RECIPE, tmp_path, "cpu")
    run(trainer, 3)
    assert trainer.model.language_model.lm_head.weight is trainer.model.language_model.model.embed_tokens.weight


def test_each_parameter_is_moved_by_exactly_one_optimizer(tmp_path):
    trainer = Trainer(RECIPE, tmp_path, "cpu")
    moved = [id(parameter) for parameter in trainer.parameters()]
    there = {id(parameter) for module in (trainer.model, trainer.probe) for parameter in module.parameters()}
    assert len(moved) == len(set(moved))
    assert set(moved) == there


def test_muon_moves_the_matrices_between_vectors_which_alone_decay_and_adamw_all_else(tmp_path):
    trainer = Trainer(RECIPE, tmp_path, "cpu")
    adamw, muon = make_optimizers([trainer.model, trainer.probe], RECIPE)
    assert (type(adamw), type(muon)) == (torch.optim.AdamW, torch.optim.Muon)
    assert [group["weight_decay"] for group in adamw.param_groups + muon.param_groups] == [0.0, RECIPE.weight_decay]
    names = {id(p): name for module in (trainer.model, trainer.probe) for name, p in module.named_parameters()}
    matrices = {names[id(parameter)] for parameter in muon.param_groups[0]["params"]}
    layer = "language_model.model.layers.0."
    assert matrices >= {f"{layer}self_attn.q_proj.weight", f"{layer}mlp.down_proj.weight", "linear.weight"}
    assert matrices >= {"multi_modal_projector.linear.weight"}
    others = set(names.values()) - matrices
    assert others >= {"language_model.model.embed_tokens.weight", f"{layer}input_layernorm.weight", "linear.bias"}
    assert {name for name in others if name.endswith("weight") and "norm" not in name} == {
        "language_model.model.embed_tokens.weight",
        "vision_tower.vision_model.embeddings.patch_embedding.weight",
        "vision_tower.vision_model.embeddings.position_embedding.weight",
    }


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.2),  # a tenth of the peak, 2: warming up over ten steps
        (4, 1.0),
        (55, 1.02),  # halfway between the warm-up and the end, and between the peak and 0.02 of it
        (99, 0.040597),  # the end of the first stage
        (100, 0.1),  # the second stage has a warm-up of its own, to its own peak, 1
        (205, 0.51),
        (299, 0.020067),
    ],
)
def test_the_learning_rate_warms_up_and_falls_in_each_stage(tmp_path, step, rate):
    recipe = Recipe(
        look_steps=100,
        speak_steps=200,
        warmup_steps=10,
        look_learning_rate=2.0,
        speak_learning_rate=1.0,
        final_learning_rate_fraction=0.02,
    )
    trainer = Trainer(recipe, tmp_path, "cpu")
    trainer.step = step
    progress = trainer.set_learning_rate()
    assert progress == pytest.approx(step / 100 if step < 100 else (step - 100) / 200)
    assert len(trainer.groups()) == 2
    for group in trainer.groups():
        assert group["lr"] == pytest.approx(rate, rel=1e-4)


@pytest.mark.parametrize(("longest", "is_clipped"), [(1e-3, True), (1e6, False)])
def test_a_long_gradient_is_clipped_as_a_whole(tmp_path, monkeypatch, longest, is_clipped):
    trainer, gradients = Trainer(dataclasses.replace(RECIPE, max_gradient_norm=longest), tmp_path, "cpu"), []
    for optimizer in trainer.optimizers:
        parameters = optimizer.param_groups[0]["params"]
        monkeypatch.setattr(optimizer, "step", lambda ps=parameters: gradients.extend(p.grad for p in ps))
    trainer.step = RECIPE.look_steps
    run(trainer, 1)
    length = torch.nn.utils.get_total_norm(gradients).item()
    assert length == pytest.approx(1e-3, rel=1e-3) if is_clipped else length > 0.1


def test_after_a_step_the_gradients_are_forgotten(tmp_path):
    trainer = Trainer(RECIPE, tmp_path, "cpu")
    run(trainer, 3)
    assert all(parameter.grad is None for parameter in trainer.parameters())


def test_a_resumed_run_equals_the_unbroken_one_bit_for_bit(saved):
    unbroken = Trainer(RECIPE, saved.directory / "unbroken", "cpu")
    run(unbroken, 6)
    resumed = Trainer(RECIPE, saved.directory, "cpu")
    resumed.resume()
    assert resumed.step == 3
    assert_same(weights(resumed), weights(saved))
    run(resumed, 3)
    assert_same(weights(resumed), weights(unbroken))


def test_a_run_interrupted_while_it_looks_equals_the_unbroken_one_too(tmp_path):
    unbroken, first = Trainer(RECIPE, tmp_path, "cpu"), Trainer(RECIPE, tmp_path, "cpu")
    run(unbroken, 4)
    run(first, 1)
    first.save()
    resumed = Trainer(RECIPE, tmp_path, "cpu")
    resumed.resume()
    run(resumed, 3)
    assert_same(weights(resumed), weights(unbroken))


def test_the_state_has_what_both_optimizers_remember(saved):
    """While the tower learns to look, the language model is not moved: what is not remembered is not written."""
    states = saved.optimizer_states()
    keys = {tuple(sorted(state)) for state in states}
    assert keys == {("exp_avg", "exp_avg_sq", "step"), ("momentum_buffer",)}
    resumed = Trainer(RECIPE, saved.directory, "cpu")
    resumed.resume()
    for state, again in zip(states, resumed.optimizer_states(), strict=True):
        assert_same(state, again)
    looking = Trainer(RECIPE, saved.directory / "looking", "cpu")
    run(looking, 1)
    looking.directory.mkdir()
    looking.save()
    resumed = Trainer(RECIPE, looking.directory, "cpu")
    resumed.resume()
    remembered = [bool(state) for state in resumed.optimizer_states()]
    assert remembered == [bool(state) for state in looking.optimizer_states()]
    assert {True, False} == set(remembered)


@pytest.mark.parametrize("key", ["momentum_buffer", "exp_avg", "exp_avg_sq", "step"])
def test_a_run_that_forgets_a_part_of_the_state_is_another_run(saved, key):
    """So the tests of resumed runs say something of each part."""
    resumed = Trainer(RECIPE, saved.directory, "cpu")
    resumed.resume()
    for state in resumed.optimizer_states():
        if key in state:
            state[key].zero_()
    run(resumed, 2)
    run(saved, 2)
    assert any(not torch.equal(a, b) for a, b in zip(weights(resumed).values(), weights(saved).values(), strict=True))


def test_saving_changes_nothing_in_the_run(tmp_path):
    plain, saving = Trainer(RECIPE, tmp_path, "cpu"), Trainer(RECIPE, tmp_path, "cpu")
    run(plain, 3)
    for _ in range(3):
        saving.save()  # also before the first step
        run(saving, 1)
    assert_same(weights(plain), weights(saving))


def test_resume_without_a_state_begins_at_the_beginning(tmp_path):
    trainer = Trainer(RECIPE, tmp_path, "cpu")
    trainer.resume()
    assert trainer.step == 0


def test_resuming_counts_the_time_spent_before(saved, capsys):
    saved.seconds = 90.0
    saved.save()
    resumed = Trainer(RECIPE, saved.directory, "cpu")
    resumed.resume()
    assert resumed.seconds == 90.0
    assert capsys.readouterr().out == "resumed at step 3 after 1.5 minutes of training\n"


def test_another_recipe_is_refused_and_nothing_is_lost(saved):
    path = saved.directory / "state.safetensors"
    before = path.read_bytes()
    with pytest.raises(SystemExit, match="another recipe") as refusal:
        train(dataclasses.replace(RECIPE, seed=7), saved.directory, "cpu")
    assert str(path) in str(refusal.value)
    assert "Recipe(seed=0," in str(refusal.value)  # so that the reader can find the difference
    assert path.read_bytes() == before
    assert [file.name for file in saved.directory.iterdir()] == ["state.safetensors"]


def test_a_save_that_dies_half_way_leaves_the_earlier_state(saved, monkeypatch):
    before = weights(saved)

    def die_half_way(tensors, path, metadata):
        save_file(tensors, path, metadata=metadata)
        with open(path, "r+b") as file:
            file.truncate(1000)
        raise KeyboardInterrupt

    monkeypatch.setattr(vlm.checkpoints.atomic_write, "save_file", die_half_way)
    run(saved, 1)
    with pytest.raises(KeyboardInterrupt):
        saved.save()
    resumed = Trainer(RECIPE, saved.directory, "cpu")
    resumed.resume()
    assert resumed.step == 3
    assert_same(weights(resumed), before)


def test_a_state_written_only_in_part_is_not_taken_for_one(saved):
    path = saved.directory / "state.safetensors"
    path.rename(f"{path}.partial")
    trainer = Trainer(RECIPE, saved.directory, "cpu")
    trainer.resume()
    assert trainer.step == 0


def test_a_truncated_state_is_an_error_not_a_new_beginning(saved):
    path = saved.directory / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SystemExit, match="damaged or incomplete"):
        Trainer(RECIPE, saved.directory, "cpu").resume()


def test_a_state_that_lacks_a_tensor_of_the_model_is_refused(saved):
    """As when the model was changed in the meantime: half of it would go on from random weights."""
    path = saved.directory / "state.safetensors"
    tensors = load_file(path)
    del tensors["model.multi_modal_projector.linear.weight"]
    metadata = {"step": "3", "seconds": "1.0", "recipe": repr(RECIPE), "commit": "abc"}
    save_file(tensors, path, metadata=metadata)
    with pytest.raises((RuntimeError, ValueError, SystemExit), match="multi_modal_projector"):
        Trainer(RECIPE, saved.directory, "cpu").resume()


def test_the_exported_model_opens_and_gives_the_same_logits(saved):
    directory = saved.directory / "final"
    export(saved, directory)
    model, tokenizer = load_hf_model(directory)
    assert len(tokenizer) == len(saved.processor.tokenizer)
    inputs = saved.processor("caption en", draw_scene(0).image, suffix="a cat")
    with torch.inference_mode():
        assert torch.equal(model(**inputs).logits, saved.model.eval()(**inputs).logits)


def test_the_export_says_how_the_model_came_to_be(saved):
    saved.seconds = 90.0
    export(saved, saved.directory / "final")
    provenance = json.loads((saved.directory / "final" / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["recipe"]["look_steps"] == 2
    assert provenance["training_minutes"] == 1.5
    assert provenance["torch"] == torch.__version__
    assert provenance["device"].endswith(f", {torch.get_num_threads()} threads")
    assert provenance["commit"] == saved.commit and len(saved.commit) == 40
    assert provenance["started_from"] is None


def interrupt_after(monkeypatch, num_steps: int):
    """Let the user press Ctrl-C in the step after `num_steps`."""
    train_step = Trainer.train_step

    def step_or_interrupt(trainer, batch):
        if trainer.step == num_steps:
            raise KeyboardInterrupt
        return train_step(trainer, batch)

    monkeypatch.setattr(Trainer, "train_step", step_or_interrupt)


def test_the_same_command_again_finishes_an_interrupted_run_with_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "STEPS_BETWEEN_LOG_LINES", 2)
    train(RECIPE, tmp_path / "unbroken", "cpu")

    monkeypatch.setattr(training, "SECONDS_BETWEEN_SAVES", 0)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            train(RECIPE, tmp_path / "broken", "cpu")
    assert not (tmp_path / "broken" / "final").exists()
    train(RECIPE, tmp_path / "broken", "cpu")

    files = [tmp_path / name / "final" / "model.safetensors" for name in ("unbroken", "broken")]
    assert_same(*map(load_file, files))
    log = [json.loads(line) for line in (tmp_path / "broken" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [2, 4, 6]
    assert [set(line) - {"step", "seconds"} for line in log] == [{"dense"}] + 2 * [{"dense", *GROUPS}]


def test_steps_that_are_made_again_are_logged_once(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 50}\n{"step": 100}\n{"step": 150}\n{"step": 2', encoding="utf-8")
    training.forget_later_lines(log, 120)
    assert log.read_text(encoding="utf-8") == '{"step": 50}\n{"step": 100}\n'


def test_a_finished_run_is_only_exported_again(saved, monkeypatch):
    run(saved, 3)
    saved.save()
    monkeypatch.setattr(Trainer, "train_step", None)  # to call it would be an error
    train(RECIPE, saved.directory, "cpu")
    model, _ = load_hf_model(saved.directory / "final")
    assert_same(model.state_dict(), saved.model.state_dict())


def test_the_options_make_the_recipe(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(training, "train", lambda *arguments: calls.append(arguments))
    options = ["--directory", str(tmp_path), "--look-steps", "5", "--speak-steps", "6", "--seed", "7"]
    monkeypatch.setattr("sys.argv", ["train", *options, "--device", "cpu"])
    training.main()
    assert calls == [(Recipe(seed=7, look_steps=5, speak_steps=6), tmp_path, "cpu", None, ALONE)]
