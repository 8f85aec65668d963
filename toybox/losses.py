"""The losses of the training. Shapes: B scenes, N patches, R rows of text, T text length, V vocabulary."""

import torch
from torch import Tensor, nn

from toybox.batches import BACKGROUND_CLASS
from vlm.paligemma import IGNORE_INDEX
from vlm.regions.boxes import NUM_LOCATION_BINS


class DenseProbe(nn.Module):
    """One linear layer on the tower's output: which object is under each patch, and where are its edges?

    It trains the tower before there is any text, and is discarded after training.
    """

    def __init__(self, hidden_size: int):
        super().__init__()
        self.linear = nn.Linear(hidden_size, BACKGROUND_CLASS + 1 + 4)

    def loss(self, hidden_states: Tensor, patch_labels: Tensor, patch_boxes: Tensor) -> Tensor:
        """Cross-entropy of the class, plus the mean distance of the edges where there is an object.

        Args:
            hidden_states: [B, N, D], the tower's output.
            patch_labels: [B, N].
            patch_boxes: [B, N, 4].
        """
        outputs = self.linear(hidden_states).float()  # [B, N, classes + 4]
        class_logits, boxes = outputs[..., :-4], outputs[..., -4:]
        class_loss = nn.functional.cross_entropy(class_logits.flatten(0, 1), patch_labels.flatten())
        is_object = (patch_labels != BACKGROUND_CLASS)[..., None]  # [B, N, 1]
        box_loss = ((boxes - patch_boxes).abs() * is_object).sum() / (4 * is_object.sum()).clamp(min=1)
        return class_loss + 5 * box_loss


def soft_location_targets(sigma: float) -> Tensor:
    """Row i: how much each bin counts as right when bin i is. A bell, rows sum to 1.

    To a plain cross-entropy, one bin off is as wrong as a thousand. A Gaussian of standard deviation sigma (in bins)
    gives credit for being close. Returns [1024, 1024].
    """
    bins = torch.arange(NUM_LOCATION_BINS)
    return torch.softmax(
        -((bins[:, None] - bins[None, :]) ** 2) / (2 * sigma**2),
        dim=-1,
    )


def suffix_loss(logits: Tensor, labels: Tensor, first_location_id: int, location_targets: Tensor) -> Tensor:
    """Cross-entropy of the suffix: mean over each row's tokens, then over rows.

    As big_vision does. `<loc>` labels are compared with soft targets, the others with the one correct token.

    Args:
        logits: [R, T, V].
        labels: [R, T], -100 where there is no loss; shifted here.
        location_targets: [1024, 1024], from `soft_location_targets`.
    """
    log_probabilities = logits[:, :-1].float().log_softmax(-1)  # [R, T-1, V]
    labels = labels[:, 1:]
    counts = labels != IGNORE_INDEX
    row_weights = counts / counts.sum(-1, keepdim=True) / len(labels)  # [R, T-1], sum 1
    bins = labels - first_location_id
    is_location = (bins >= 0) & (bins < NUM_LOCATION_BINS)
    is_word = counts & ~is_location

    word_terms = log_probabilities[is_word].gather(-1, labels[is_word][:, None])[:, 0]
    location_logs = log_probabilities[is_location][:, first_location_id : first_location_id + NUM_LOCATION_BINS]
    location_terms = (location_logs * location_targets[bins[is_location]]).sum(-1)
    return -(word_terms * row_weights[is_word]).sum() - (location_terms * row_weights[is_location]).sum()
