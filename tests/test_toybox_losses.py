"""What training minimises, against sums done by hand."""

import math

import pytest
import torch

from toybox.batches import BACKGROUND_CLASS, CLASSES
from toybox.losses import DenseProbe, soft_location_targets, suffix_loss

FIRST = 5  # the id of <loc0000> in these tests
V = FIRST + 1024 + 3  # words before the locations, and words behind them
NUM_CLASSES = BACKGROUND_CLASS + 1  # of the probe
SHARP = 1e-3  # a bell so narrow that one bin counts and no other


@pytest.fixture(scope="module")
def bell() -> torch.Tensor:
    return soft_location_targets(6.0)


@pytest.fixture(scope="module")
def sharp() -> torch.Tensor:
    return soft_location_targets(SHARP)


def random_logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(*shape, V, generator=torch.Generator().manual_seed(seed))


def loss_by_hand(logits: torch.Tensor, labels: list[list[int]], sigma: float | None) -> float:
    """One term after the other, in double precision. sigma None: one right token for locations too."""
    rows = []
    for row, row_labels in enumerate(labels):
        terms = []
        for position, label in enumerate(row_labels[1:]):
            if label == -100:
                continue
            logs = logits[row, position].double().log_softmax(-1)
            if sigma is None or not FIRST <= label < FIRST + 1024:
                terms.append(-logs[label])
                continue
            weights = [math.exp(-((bin - (label - FIRST)) ** 2) / (2 * sigma**2)) for bin in range(1024)]
            total = sum(weights)
            terms.append(-sum(w / total * logs[FIRST + bin] for bin, w in enumerate(weights) if w))
        rows.append(sum(terms) / len(terms))
    return float(sum(rows) / len(rows))


def test_words_are_averaged_over_each_row_and_then_over_the_rows(bell):
    labels = [[-100, 2, -100, -100, -100], [-100, 3, 4, 0, V - 1]]
    logits = random_logits(2, 5)
    loss = suffix_loss(logits, torch.tensor(labels), FIRST, bell)
    assert loss.item() == pytest.approx(loss_by_hand(logits, labels, sigma=6.0), abs=1e-5)
    logs = logits.log_softmax(-1)
    first_row = -logs[0, 0, 2]
    second_row = -(logs[1, 0, 3] + logs[1, 1, 4] + logs[1, 2, 0] + logs[1, 3, V - 1]) / 4
    assert loss.item() == pytest.approx(((first_row + second_row) / 2).item(), abs=1e-5)


def test_a_model_that_knows_nothing_pays_log_of_the_vocabulary(bell):
    labels = torch.tensor([[-100, 2, FIRST + 500, FIRST, 1]])
    loss = suffix_loss(torch.zeros(1, 5, V), labels, FIRST, bell)
    assert loss.item() == pytest.approx(math.log(V), abs=1e-5)


@pytest.mark.parametrize("bin_index", [0, 1, 511, 1022, 1023])
def test_a_location_is_compared_with_the_bell_around_it(bell, bin_index):
    labels, logits = [[-100, FIRST + bin_index]], random_logits(1, 2)
    loss = suffix_loss(logits, torch.tensor(labels), FIRST, bell)
    assert loss.item() == pytest.approx(loss_by_hand(logits, labels, sigma=6.0), abs=1e-4)
    assert loss.item() != pytest.approx(loss_by_hand(logits, labels, sigma=None), abs=1e-2)


def test_words_and_locations_in_one_row_weigh_the_same(bell):
    labels = [[-100, FIRST + 100, FIRST + 900, 3], [-100, -100, FIRST, -100]]
    logits = random_logits(2, 4)
    loss = suffix_loss(logits, torch.tensor(labels), FIRST, bell)
    assert loss.item() == pytest.approx(loss_by_hand(logits, labels, sigma=6.0), abs=1e-4)


def test_with_a_very_narrow_bell_it_is_plain_cross_entropy(sharp):
    logits = random_logits(3, 6)
    labels = torch.randint(0, V, (3, 6), generator=torch.Generator().manual_seed(1))
    labels[:, 2] = FIRST + torch.tensor([0, 512, 1023])  # both ends too
    plain = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    assert suffix_loss(logits, labels, FIRST, sharp).item() == pytest.approx(plain.item(), abs=1e-5)


def test_the_tokens_next_to_the_locations_are_words(bell):
    labels, logits = [[-100, FIRST - 1, FIRST + 1024]], random_logits(1, 3)
    loss = suffix_loss(logits, torch.tensor(labels), FIRST, bell)
    assert loss.item() == pytest.approx(loss_by_hand(logits, labels, sigma=None), abs=1e-5)


def test_near_misses_cost_less_than_far_ones(bell):
    labels = torch.tensor([[-100, FIRST + 500]])

    def loss_when_sure_of(bin_index: int) -> float:
        logits = torch.zeros(1, 2, V)
        logits[0, 0, FIRST + bin_index] = 10
        return suffix_loss(logits, labels, FIRST, bell).item()

    assert loss_when_sure_of(500) < loss_when_sure_of(503) < loss_when_sure_of(510) < loss_when_sure_of(600)


def test_a_row_without_labels_makes_no_nan(bell):
    logits = random_logits(2, 3).requires_grad_()
    loss = suffix_loss(logits, torch.tensor([[-100, 2, FIRST]] + [[-100] * 3]), FIRST, bell)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


def test_the_gradient_reaches_the_position_before_each_label_and_no_other(bell):
    logits = random_logits(2, 5).requires_grad_()
    labels = torch.tensor([[-100, -100, 2, -100, -100], [-100, -100, -100, FIRST + 7, 1]])
    suffix_loss(logits, labels, FIRST, bell).backward()
    reached = logits.grad.abs().sum(-1) > 0
    assert reached.tolist() == [[False, True, False, False, False], [False, False, True, True, False]]


def test_the_gradient_is_the_softmax_minus_the_target(bell):
    logits = random_logits(1, 2).requires_grad_()
    suffix_loss(logits, torch.tensor([[-100, FIRST + 7]]), FIRST, bell).backward()
    target = torch.zeros(V)
    target[FIRST : FIRST + 1024] = bell[7]
    torch.testing.assert_close(logits.grad[0, 0], logits.detach()[0, 0].softmax(-1) - target, atol=1e-6, rtol=0)


def test_logits_in_half_precision_are_summed_in_full(bell):
    logits, labels = random_logits(1, 3), [[-100, FIRST + 3, 2]]
    loss = suffix_loss(logits.bfloat16(), torch.tensor(labels), FIRST, bell)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(loss_by_hand(logits.bfloat16().float(), labels, 6.0), abs=1e-4)


@pytest.mark.parametrize("sigma", [SHARP, 6.0, 16.0])
def test_soft_targets_are_a_distribution_in_each_row(sigma):
    targets = soft_location_targets(sigma)
    assert targets.shape == (1024, 1024) and targets.dtype == torch.float32
    assert (targets >= 0).all()
    torch.testing.assert_close(targets.sum(-1), torch.ones(1024))
    assert targets.argmax(-1).tolist() == list(range(1024))


def test_the_bell_is_as_wide_as_sigma_and_even_on_both_sides(bell):
    row = bell[500]
    assert (row[506] / row[500]).item() == pytest.approx(math.exp(-0.5), rel=1e-4)  # one sigma away
    assert (row[512] / row[500]).item() == pytest.approx(math.exp(-2), rel=1e-4)  # two
    torch.testing.assert_close(row[400:500], row[501:601].flip(0))


def test_at_the_edges_the_bell_is_cut_and_the_rest_is_shared(bell):
    assert bell[0, 0] > 1.8 * bell[500, 500]  # half the room, twice the height
    torch.testing.assert_close(bell[0], bell[1023].flip(0))


def test_a_very_narrow_bell_is_the_one_right_bin(sharp):
    assert torch.equal(sharp, torch.eye(1024))


def constant_probe(class_logits: torch.Tensor, box: list[float]) -> DenseProbe:
    """A probe that says the same of every patch."""
    probe = DenseProbe(hidden_size=2)
    torch.nn.init.zeros_(probe.linear.weight)
    with torch.no_grad():
        probe.linear.bias.copy_(torch.cat([class_logits, torch.tensor(box)]))
    return probe


def test_the_probe_s_loss_by_hand():
    probe = constant_probe(torch.zeros(NUM_CLASSES), [0.1, 0.2, 0.3, 0.4])
    labels = torch.tensor([[3, BACKGROUND_CLASS, 7]])
    boxes = torch.tensor([[[0.1, 0.2, 0.3, 0.0], [9.0, 9.0, 9.0, 9.0], [0.0, 0.0, 0.3, 0.4]]])
    # Classes: the log of their number each. Edges: of eight, one is off by 0.4, one by 0.1, one by 0.2.
    loss = probe.loss(torch.zeros(1, 3, 2), labels, boxes)
    assert loss.item() == pytest.approx(math.log(NUM_CLASSES) + 5 * 0.7 / 8, abs=1e-5)


def test_a_picture_of_background_alone_has_no_box_loss():
    probe = constant_probe(torch.zeros(NUM_CLASSES), [0.1, 0.2, 0.3, 0.4])
    labels = torch.full((1, 3), BACKGROUND_CLASS)
    loss = probe.loss(torch.zeros(1, 3, 2), labels, torch.zeros(1, 3, 4))
    assert loss.item() == pytest.approx(math.log(NUM_CLASSES), abs=1e-5)


def test_a_probe_that_is_right_pays_nothing():
    probe = constant_probe(
        100 * torch.nn.functional.one_hot(torch.tensor(3), NUM_CLASSES).float(), [0.1, 0.2, 0.3, 0.4]
    )
    boxes = torch.tensor([[[0.1, 0.2, 0.3, 0.4]]])
    assert probe.loss(torch.zeros(1, 1, 2), torch.tensor([[3]]), boxes).item() == pytest.approx(0, abs=1e-6)


def test_background_has_a_class_of_its_own():
    assert len(CLASSES) == BACKGROUND_CLASS
    assert DenseProbe(8).linear.out_features == len(CLASSES) + 1 + 4


def test_the_probe_s_gradient_reaches_the_tower_and_boxes_learn_from_toys_alone():
    torch.manual_seed(0)
    probe, hidden_states = DenseProbe(6), torch.randn(1, 2, 6, requires_grad=True)
    boxes = torch.rand(1, 2, 4)
    probe.loss(hidden_states, torch.tensor([[BACKGROUND_CLASS, 4]]), boxes).backward()
    assert (hidden_states.grad.abs().sum(-1) > 0).all()
    # The last four rows are the edges': what they learn is a multiple of the toy's vector.
    edges = probe.linear.weight.grad[-4:]
    toy = hidden_states.detach()[0, 1]
    torch.testing.assert_close(edges.abs(), (5 / 4 * toy.abs()).expand(4, 6))
