# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Rotary position embeddings (RoPE): how does a vector know its position?
#
# Attention compares vectors, and a vector says what, not where. "Dog bites man" and "man bites dog" are the same three vectors. The tower
# solved this by adding a learned vector for each of its 64 patch positions. A language model needs something better: texts can have any length, and what
# matters is seldom the position itself, but how far apart two tokens are. Gemma uses {term}`rotary position embeddings <RoPE>`, RoPE for short: it rotates each query and key by an angle that grows with its
# position. In this chapter you build that, and see what a trained model does with it, and without it.
#
# At the end you will be able to
#
# - show by hand why the attention scores of rotated vectors depend on the distance between two positions and on nothing else about them;
# - say why a vector is rotated at many frequencies, fast and slow, and which of them a trained head uses;
# - tell the two layouts of pairs apart, and say what happens to weights that meet the wrong one;
# - write `rotary_cos_sin`, `rotate_half` and `apply_rotary_pos_emb` as in the package.
#
# Time: about 45 minutes to read and run, and 35 for the four exercises. Here is the goal: to understand why some heads of the trained model prefer a certain distance.

# %% mystnb={"image": {"alt": "Four curves of the mean attention score over distances from 0 to 40 positions. Two heads of layer 0 have a sharp peak at a distance of two positions, a third falls slowly from 1 to 0, a head of layer 3 peaks at one position."}, "figure": {"caption": "Some heads have learned to prefer a distance, and nobody told them to. Mean attention score of four heads of the trained model, over all pairs of tokens in an answer with four boxes, as a function of how far the key lies before the query. The first two heads prefer the token two positions back, the last one the token just before. The peaks come back every six positions, because by then the fastest pair of entries has made a full turn; the slower pairs keep the later peaks lower.", "name": "fig-ch07-goal"}} tags=["hide-input"]
import math

import matplotlib.pyplot as plt
import torch
from torch import Tensor
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from vlm import gemma
from vlm.generate import generate
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor

torch.set_grad_enabled(False)  # nothing is trained in this chapter

model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
config = model.config.text_config
vision_config = model.config.vision_config
processor = PaliGemmaProcessor.for_model(model, tokenizer)
layers = model.language_model.model.layers
E = config.head_dim
image = example_image(0)
prompt = "detect cat ; bird"
inputs = processor([prompt], [image])
S = inputs["input_ids"].shape[1]

[answer] = generate(model, processor, prompt, image)
with_answer = processor([prompt], [image], suffix=[answer])
with_answer = {name: tensor for name, tensor in with_answer.items() if name != "labels"}


def queries_and_keys(layer: int) -> tuple[Tensor, Tensor]:
    """Queries and keys of the answer's tokens before the rotation: each [A, answer, E]."""
    attention, kept = layers[layer].self_attn, []
    hook = attention.register_forward_hook(lambda _module, args, _output: kept.append(args[0]))
    model(**with_answer)
    hook.remove()
    query = attention.split_heads(attention.q_proj(kept[0]))
    key = gemma.repeat_kv(
        attention.split_heads(attention.k_proj(kept[0])), attention.num_groups
    )
    return query[0, :, S:], key[0, :, S:]


def mean_score(layer: int, head: int, distances: Tensor) -> Tensor:
    """The mean score over all pairs, as if each key were `distances` before its query."""
    query, key = queries_and_keys(layer)
    # [1, 1, n, E]
    cos, sin = gemma.rotary_cos_sin(distances[None], E, config.rope_theta, torch.float32)
    query = gemma.apply_rotary_pos_emb(query[head][:, None], cos[0], sin[0])  # [answer, n, E]
    return (query @ key[head].T).mean((0, 2)) * E**-0.5  # [n]


distances = torch.arange(0, 41)
fig, ax = plt.subplots(figsize=(6.8, 3.2), layout="constrained")
for (layer, head), color, style in zip(
    ((0, 2), (0, 3), (0, 1), (3, 0)),
    ("#0072B2", "#D55E00", "#009E73", "#CC79A7"),
    ("-", "--", "-.", ":"),
):
    ax.plot(
        distances,
        mean_score(layer, head, distances),
        color=color,
        linestyle=style,
        marker=".",
        label=f"layer {layer}, head {head}",
    )
ax.set(xlabel="distance from key to query (positions)", ylabel="mean attention score")
ax.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# ## Attention does not know the order
#
# Take attention as you built it for the tower: scores, softmax, weighted sum. Shuffle the keys and values together, and the result is the same: a weighted sum
# does not depend on the order of its terms.

# %%
torch.manual_seed(0)
query, key, value = torch.randn(1, 4), torch.randn(5, 4), torch.randn(5, 4)
order = torch.tensor([3, 1, 4, 0, 2])
plain = (query @ key.T).softmax(-1) @ value
shuffled = (query @ key[order].T).softmax(-1) @ value[order]
assert torch.allclose(plain, shuffled)
print("five keys and values, shuffled: the same result")

# %% [markdown]
# So wherever every position attends to every other, as in the prefix, the language model can know the order of the tokens only from their {term}`position_ids <position ids>`: one integer per token, counted from 1. (In the answer the mask gives a little away: the third token can attend to two more tokens than the first. Positions begin with 1 and not 0
# because *transformers* does it this way. You will see below that it makes no difference.)
#
# Let us take that knowledge away, and give every token the position 1. What will still work: the caption, or the boxes? Decide before you run the cell.

# %%
original_cos_sin = gemma.rotary_cos_sin


def no_positions(position_ids: Tensor, *rest) -> tuple[Tensor, Tensor]:
    return original_cos_sin(torch.ones_like(position_ids), *rest)


def answers(text: str, max_new_tokens: int) -> str:
    return generate(model, processor, text, image, max_new_tokens=max_new_tokens)[0]


print("with:   ", answers("caption en", 12), "|", answers(prompt, 5))
gemma.rotary_cos_sin = no_positions
print("without:", answers("caption en", 12), "|", answers(prompt, 5))
gemma.rotary_cos_sin = original_cos_sin

# %% [markdown]
# This caption survives: a caption depends little on token order, and the vision tower has already encoded where each patch is. A box does not survive. It is four location tokens in a row, and to generate the third
# the model must know that it has generated two. Without positions this model, which was trained with them, cannot count, and generates the same location token again and again.
#
# ## Rotating one pair
#
# How do you put a position into a vector so that only *distances* show in the scores? Take a vector of two entries, an arrow in the plane. Rotate the query at position m by m times some angle ω, and the key at position n by n times the same angle. The score is their {term}`dot product`, which depends on their lengths and on the angle between them. Rotating both
# by the same amount leaves it unchanged. So all that counts is how much further one was rotated than the other: (m − n) times ω.

# %% tags=["hide-input"]
from figures.schematics.rotation import draw_rotation
from IPython.display import HTML

drawing = draw_rotation((5, 2), shift=4, angle_per_position=20)
HTML(
    drawing.html(
        "Moving both vectors by four positions rotates both arrows, and leaves the angle "
        "between them as it was. The score depends on this angle, so it depends only "
        "on the distance between the positions. Here q and k start out in the same direction, "
        "and ω is 20 degrees."
    )
)

# %% [markdown]
# A rotation by the angle α takes (a, b) to (a cos α − b sin α, b cos α + a sin α). With $R_\alpha$ for that rotation, $q$ and $k$ for query and key, and $\omega$ for the angle of one position, the property we want is one line:
#
# $$(R_{m\omega}\, q)^{\top} (R_{n\omega}\, k) = q^{\top} R_{(n-m)\omega}\, k, \qquad R_\alpha = \begin{pmatrix} \cos\alpha & -\sin\alpha \\ \sin\alpha & \cos\alpha \end{pmatrix}$$
#
# On the right, m and n appear only in their difference.[^ch07-1]
#
# [^ch07-1]: The transpose of a rotation is the rotation back, and the angles of two rotations add up.


# %%
def rotate(pair: Tensor, angle: float) -> Tensor:
    a, b = pair
    c, s = math.cos(angle), math.sin(angle)
    return torch.stack([a * c - b * s, b * c + a * s])


query, key = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])
quarter_turn = rotate(key, math.pi / 2)
print("a quarter turn of (1, 1):", [round(x, 3) for x in quarter_turn.tolist()])
for m, n in ((5, 3), (105, 103), (5, 4)):
    score = rotate(query, m * 0.5) @ rotate(key, n * 0.5)
    print(f"query at {m:3}, key at {n:3}: score {score:.4f}")

# %% [markdown]
# The first two scores agree, because the distance is 2 in both. By hand: the angle between the arrows was 45° at first, or π/4; now the query has been rotated by 2 · 0.5 = 1 radian
# more, so the score is √2 · cos(π/4 − 1).

# %%
by_hand = math.sqrt(2) * math.cos(math.pi / 4 - 1)
assert abs(rotate(query, 2.5) @ rotate(key, 1.5) - by_hand) < 1e-6
print(round(by_hand, 4))

# %% [markdown]
# ## Many frequencies
#
# One pair is a clock with one hand. A fast hand tells neighbors apart, but after a full turn it shows the same time again. A slow one tells far from near, but cannot tell
# neighbors apart. That is why a wall clock has several hands, and a vector has several pairs. A head's vector has E entries, that is E/2 pairs, and each pair rotates at its own
# speed, its *frequency* (`inv_freq` in many implementations): pair i by θ^(−2i/E) radians per position, with θ = 10,000. The first pair rotates by one radian per position, the last, in our model, by less than 1/5,000 of a radian. From one pair to the next the frequency falls by the same factor, so there is a hand for every scale of distance.

# %% mystnb={"image": {"alt": "Cosine curves over the positions 0 to 100 for pairs 0, 4, 8 and 12. Each is slower than the one before; the last hardly moves."}, "figure": {"caption": "Each pair is slower than the one before. Cosine of the angle by position, for four of the 16 pairs of a head: the fastest goes around every 6 positions, the slowest shown here every 6,300.", "name": "fig-ch07-clocks"}} tags=["hide-input"]
positions = torch.arange(0, 101, 0.25)  # also between whole numbers, for a smooth line
cos, _ = gemma.rotary_cos_sin(positions[None], E, config.rope_theta, torch.float32)
fig, ax = plt.subplots(figsize=(6.8, 2.8), layout="constrained")
for pair, color, style in zip(
    (0, 4, 8, 12), ("#0072B2", "#D55E00", "#009E73", "#CC79A7"), ("-", "--", "-.", ":")
):
    ax.plot(positions, cos[0, 0, :, pair], color=color, linestyle=style, label=f"pair {pair}")
ax.set(xlabel="position", ylabel="cosine of the angle")
ax.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# Here is how the package computes the angles, for all positions of a batch. Two things in it are easy to get wrong. The angles are computed in float32, whatever dtype the model
# runs in. And they are computed again in each forward pass, not kept in a buffer (a tensor that belongs to the model and is not trained), because `model.bfloat16()` casts buffers too.


# %% tags=["from:vlm.gemma.rotary_cos_sin"]
def rotary_cos_sin(
    position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the angle by which each pair is rotated at each position."""
    # [E/2]
    exponents = torch.arange(0, head_dim, 2, device=position_ids.device).float() / head_dim
    # [B, 1, S, E/2]
    angles = position_ids[:, None, :, None].float() * theta**-exponents
    angles = torch.cat([angles, angles], dim=-1)  # [B, 1, S, E]
    return angles.cos().to(dtype), angles.sin().to(dtype)


# %% [markdown]
# What would be wrong with bfloat16? It has 8 significant binary digits. Near 300 it can represent only every second whole number: 299 and 301 lie halfway between two that it can represent, and both are rounded to 300. So neighbors would get the same position. And if only the frequencies
# are rounded, as in a cast buffer, the error is multiplied by the position.

# %%
neighbors = torch.tensor([299.0, 300.0, 301.0])
print("299, 300, 301 in bfloat16:", neighbors.bfloat16().tolist())

# %% mystnb={"image": {"alt": "The largest error of an angle by position, for frequencies kept in bfloat16: a straight line to 0.4 radians at position 300 and 1.4 at 1000."}, "figure": {"caption": "With frequencies in bfloat16 the angles drift: largest error among all pairs of a PaliGemma head (E = 256), by position. After the 256 image tokens of a PaliGemma at 224 pixels, the error is already a sizable fraction of a radian.", "name": "fig-ch07-error"}} tags=["hide-input"]
positions = torch.arange(1, 1001)
exponents = torch.arange(0, 256, 2) / 256  # E = 256 in PaliGemma
exact = positions[:, None].double() * 10000.0 ** -exponents.double()
rounded_frequencies = (10000.0**-exponents).bfloat16()
error = (positions[:, None] * rounded_frequencies.double() - exact).abs().amax(1)
error = error.cummax(0).values  # [1000]
fig, ax = plt.subplots(figsize=(6.2, 2.8), layout="constrained")
ax.plot(positions, error, color="#D55E00")
ax.set(xlabel="position", ylabel="largest error (radians)", ylim=(0, None))
plt.show()
print(f"up to position 300: {error[299]:.2f} rad")
assert error[299] > 0.3

# %% [markdown]
# ## Two layouts: halves and neighbors
#
# Which two entries of a vector form a pair? The paper {cite}`su2021roformer` pairs neighbors: (0, 1), (2, 3), and so on. Gemma's published code and *transformers* pair entry i with entry i + E/2, the first
# half with the second. For training the layout does not matter at all: the model learns its weights for whichever layout it has. For loading it matters completely. (Meta's code for Llama pairs neighbors, so converting its weights for *transformers* includes reordering the rows of the query and key projections.)
#
# With halves, rotating all pairs at once takes two lines. A *quarter turn*, a rotation by 90 degrees, takes (a, b) to (−b, a): move the second half to the front and change its sign.


# %% tags=["from:vlm.gemma.rotate_half"]
def rotate_half(states: Tensor) -> Tensor:
    """(first half, second half) -> (-second half, first half): rotate by 90 degrees."""
    first, second = states.chunk(2, dim=-1)
    return torch.cat([-second, first], dim=-1)


# %% tags=["from:vlm.gemma.apply_rotary_pos_emb"]
def apply_rotary_pos_emb(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate queries or keys [B, A, S, E] by the angles of their positions."""
    return states * cos + rotate_half(states) * sin


# %% [markdown]
# cos α times the vector plus sin α times its quarter turn: that is the formula for one pair, applied to all pairs at once. Check it by hand against single pairs, and all of it against *transformers*.

# %%
pairs = torch.tensor([1.0, 2.0, 3.0, 4.0])  # E = 4: the pairs are (1, 3) and (2, 4)
position_ids = torch.tensor([[7]])
cos, sin = rotary_cos_sin(position_ids, 4, theta=100.0, dtype=torch.float32)
rotated = apply_rotary_pos_emb(pairs, cos, sin)[0, 0, 0]  # [E]
first = rotate(torch.tensor([1.0, 3.0]), 7 * 1.0)
second = rotate(torch.tensor([2.0, 4.0]), 7 * 100 ** (-2 / 4))
expected = torch.stack([first[0], second[0], first[1], second[1]])
assert torch.allclose(rotated, expected, atol=1e-5)

# %%
from transformers import GemmaConfig as ReferenceConfig
from transformers.models.gemma.modeling_gemma import GemmaRotaryEmbedding
from transformers.models.gemma.modeling_gemma import apply_rotary_pos_emb as their_apply

position_ids = torch.tensor([[1, 1, 1, 2, 3, 4], [1, 2, 3, 4, 5, 300]])  # [B, S]
query, key = torch.randn(2, 4, 6, E), torch.randn(2, 2, 6, E)
cos, sin = rotary_cos_sin(position_ids, E, 10000.0, torch.float32)
reference = GemmaRotaryEmbedding(ReferenceConfig(head_dim=E))
theirs = their_apply(query, key, *reference(query, position_ids))
for ours, other in zip((query, key), theirs):
    assert torch.allclose(apply_rotary_pos_emb(ours, cos, sin), other, atol=1e-5)
print("by hand and by the reference: equal")

# %% [markdown]
# Here are four pairs of one trained query, rotated to position 7.

# %% mystnb={"image": {"alt": "Four small dials, each with a gray arrow, the pair before the rotation, and a blue arrow, after it. Between the arrows lie 41, 127, 40 and 4 degrees."}, "figure": {"caption": "The later the pair, the smaller its rotation: four pairs of a trained query at position 7, before (gray) and after (blue). From left to right they are rotated by 401, 127, 40 and 4 degrees: the first has gone once around, and 41 degrees more.", "name": "fig-ch07-turning"}} tags=["hide-input"]
trained_query, _ = queries_and_keys(0)
trained_query = trained_query[2, 0]  # [E]


def show_rotation(position: int = 7):
    """Four pairs of a trained query, rotated to a position."""
    cos, sin = rotary_cos_sin(torch.tensor([[position]]), E, config.rope_theta, torch.float32)
    rotated = apply_rotary_pos_emb(trained_query, cos, sin)[0, 0, 0]
    _fig, axes = plt.subplots(1, 4, figsize=(7.6, 2.2), layout="constrained")
    for ax, pair in zip(axes, (0, 2, 4, 8)):
        reach = 1.2 * trained_query[[pair, pair + E // 2]].norm()
        for vector, color in ((trained_query, "#999999"), (rotated, "#0072B2")):
            ax.annotate(
                "",
                xy=(vector[pair], vector[pair + E // 2]),
                xytext=(0, 0),
                arrowprops={"arrowstyle": "->", "color": color, "linewidth": 2},
            )
        ax.set(
            xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[0], yticks=[0]
        )
        ax.set_title(f"pair {pair}", fontsize=10)
        ax.set_xlabel(f"entry {pair}", fontsize=9)
        ax.set_ylabel(f"entry {pair + E // 2}", fontsize=9)
        ax.grid(alpha=0.4)
    plt.show()


show_rotation()

# %% [markdown]
# And here is the whole mechanism, for a query (solid) and a key (dashed). At first the two are the same vector, and the score is the mean of the products of all 16 pairs. Predict: (1) You move the query alone, one position at a time. Which dial shows it first, and which hardly at all? (2) You check *move both together* and drag. What does the score do?
#
# <div class="live-figure" data-figure="rotation">
# <p>This figure needs JavaScript. The figure above shows four pairs before and after the rotation. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("rotation")

# %% [markdown]
# (1) Pair 0 moves by a radian per position and has nearly made a full turn after six, so by itself it can hardly tell a distance of 6 from 0. Pair 8 moves by a hundredth of a radian per position. One resolves short distances, the other long ones, and only the sum of all pairs has a single highest peak. (2) All hands rotate, and the score does not change: rotating both leaves every angle between them unchanged.
#
# Now move the last slider. It rotates the key beforehand, which is something that the weights of a projection can do. The curve keeps its shape, and its peak moves to the distance that you set. That is how a trained head can attend to the token two or three positions back, and it is what the curves at the beginning of this chapter show.

# %% [markdown]
# Now the wrong layout: the same weights, but pairs of neighbors instead of halves, in the angles and in the rotation. All shapes fit.


# %%
def neighbors_cos_sin(*arguments) -> tuple[Tensor, Tensor]:
    cos, sin = original_cos_sin(*arguments)
    return tuple(x[..., : E // 2].repeat_interleave(2, dim=-1) for x in (cos, sin))


def rotate_neighbors(states: Tensor) -> Tensor:
    return torch.stack([-states[..., 1::2], states[..., 0::2]], dim=-1).flatten(-2)


original_rotate_half = gemma.rotate_half
gemma.rotary_cos_sin, gemma.rotate_half = neighbors_cos_sin, rotate_neighbors
print(answers("caption en", 12), "|", answers(prompt, 8))
gemma.rotary_cos_sin, gemma.rotate_half = original_cos_sin, original_rotate_half

# %% [markdown]
# Two birds and two cats have become one bird, and a box has more than four edges. No error was raised.
#
# ## Only the distance counts
#
# If scores depend only on distances, then moving *all* positions by the same number must change nothing. Move them by one, so that they begin with 0 or with 2, then by a thousand. Then do what looks almost the same: let the
# text positions start again from 1 after the image, so that their distance to the patches is wrong.

# %%
counted = torch.arange(1, S + 1)[None]  # [B, S]
expected = model(**inputs).logits[0, -1]  # [V]
restarted = counted.clone()
restarted[0, vision_config.num_image_tokens :] -= vision_config.num_image_tokens
for name, position_ids in (
    ("all one less", counted - 1),
    ("all one more", counted + 1),
    ("all 1,000 more", counted + 1000),
    ("text from 1 again", restarted),
):
    logits = model(**inputs, position_ids=position_ids).logits[0, -1]
    change = (logits - expected).abs().max()
    says = "below 1e-4" if change < 1e-4 else f"{change:.1f}"
    print(f"{name:18} largest change of a logit: {says}")

# %% [markdown]
# So whether you count from 0 (as Google's own code does) or from 1 (as *transformers* does) is a matter of taste, and a good test accepts both. Counting from 1 again in the middle is an error. It happens in practice when a model generates with a cache and every new token gets position 1.
#
# The next figure has two ways to get rotary positions wrong: pairs of neighbors instead of halves, and a decoder that gives each new token position 1.[^ch07-2] There are two prompts and two bugs. Which of the four answers will still be right? A caption depends little on order, and a box is four location tokens in a row.
#
# <div class="live-figure" data-figure="break-it" data-bugs="rotate-neighbors positions-restarted" data-tasks="caption detect">
# <p>This figure needs JavaScript. The cells of this chapter and of chapter 11 make the same mistakes in Python. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("break-it", bugs="rotate-neighbors positions-restarted", tasks="caption detect")

# %% [markdown]
# Captions often survive either bug, and boxes do not: on 16 scenes, neither bug left a single list of boxes unchanged. So a test that asks only for captions may pass a model that cannot count to four. Compare the bars of the two bugs as well. With restarted positions the prompt is read correctly, and all of the error comes from the tokens of the answer. It is small after a short caption and grows with the length of the answer.
#
# [^ch07-2]: The first bug usually takes this form: the code rotates pairs of neighbors, but the angles are still laid out for halves. The cell above changed both.
#
# Not everything in the layer should be rotated. Queries and keys meet in a dot product, where only the difference of two rotations is left. The values, however, are summed. If they were rotated as well, the sum would depend on the position of each one, unless the sum were rotated back by the query's position, and Gemma does not do that.
#
# How do scores fall off with the distance? Take a query and a key that are the same vector. At distance 0 all hands agree. As the distance grows, the fast hands disagree first, then slower ones, and
# the score decays, with ripples (RoFormer {cite}`su2021roformer`, section 3.4.3). So if queries and keys happen to agree, near keys score higher. The figure at the beginning of this chapter shows that
# training can do better. A head that prefers "two positions back" makes queries and keys that differ by a rotation, and a distance of two undoes exactly that rotation. In Gemma 7B too, heads that attend to a fixed distance use the highest frequencies; the lowest ones seem to carry content {cite}`barbero2024round`.

# %% mystnb={"image": {"alt": "Two panels. Left: a curve that falls from 1 at distance 0 with ripples to about a half at distance 80. Right: the score of layer 0, head 2 is the sum of the contributions of its pairs; the fast pairs 0 to 3 make the peak at distance 2, the others fall slowly from 0.8 to 0."}, "figure": {"caption": "The fast pairs make the peak. Left: score of two equal vectors by distance, with all pairs equally long; it decays, with ripples. Right: layer 0, head 2 of the trained model, with its score split by pairs. The four fastest pairs make the peak and the ripples; the twelve slow ones add a smaller part, which falls from 0.8 to 0 over 30 positions.", "name": "fig-ch07-decay"}} tags=["hide-input"]
distances = torch.arange(0, 81)
cos, _ = rotary_cos_sin(distances[None], E, config.rope_theta, torch.float32)
fig, axes = plt.subplots(1, 2, figsize=(8.2, 3), layout="constrained")
axes[0].plot(distances, cos[0, 0].mean(-1), color="#0072B2")
axes[0].set(
    xlabel="distance (positions)", ylabel="score, relative to distance 0", ylim=(0, 1.05)
)

query, key = queries_and_keys(0)
distances = torch.arange(0, 31)
cos, sin = rotary_cos_sin(distances[None], E, config.rope_theta, torch.float32)
rotated = apply_rotary_pos_emb(query[2][:, None], cos[0], sin[0])  # [answer, n, E]
products = rotated[:, :, None] * key[2]  # [answer, n, answer, E]
by_entry = products.mean((0, 2)) * E**-0.5  # [n, E]
by_pair = by_entry[:, : E // 2] + by_entry[:, E // 2 :]  # [n, E/2]
axes[1].plot(distances, by_pair.sum(-1), color="#000000", linewidth=1, label="all pairs")
axes[1].plot(
    distances, by_pair[:, :4].sum(-1), color="#D55E00", linestyle="--", label="pairs 0 to 3"
)
axes[1].plot(
    distances, by_pair[:, 4:].sum(-1), color="#009E73", linestyle=":", label="pairs 4 to 15"
)
axes[1].set(xlabel="distance (positions)", ylabel="mean attention score")
axes[1].legend(fontsize=9)
plt.show()

# %% [markdown]
# In PaliGemma at 224 pixels the image tokens get positions 1 to 256 in reading order, one after the other. So two patches, one above the other, are 16 positions apart, and the model has to learn what that means; but the tower has already encoded
# the row and the column of each patch. Newer models rotate by row and by column separately {cite}`wang2024qwen2vl`. PaliGemma keeps the one-dimensional positions, and so do we.
#
# ## Exercises
#
# Open `exercises/ch07_rope.py`, write what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch07_rope.py
# ```
#
# ### `rotate_half` (1 point, 5 minutes)
#
# Rotate every pair (i, i + E/2) by 90 degrees.
#
# ```{literalinclude} ../exercises/ch07_rope.py
# :pyobject: rotate_half
# ```
#
# ```{admonition} Hint
# :class: dropdown
# `states.chunk(2, dim=-1)` gives both halves. Which one gets the minus: the one that moves to the front, or the other?
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch07_rope.py
# :pyobject: rotate_half
# ```
# ````
#
# ### `rotary_cos_sin` (2 points, 15 minutes)
#
# Compute the cosine and sine of every angle, for the positions of a batch.
#
# ```{literalinclude} ../exercises/ch07_rope.py
# :pyobject: rotary_cos_sin
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# There are E/2 frequencies, and one position for each token of each row: multiply every frequency by every position. Which axes do you need, in which order?
# ```
# ```{admonition} Hint 2: which tensors
# :class: dropdown
# `position_ids[:, None, :, None]` is [B, 1, S, 1]. The frequencies are [E/2]. Their product is [B, 1, S, E/2], and every angle is needed twice.
# ```
# ```{admonition} Hint 3: almost the line
# :class: dropdown
# `torch.arange(0, head_dim, 2)` is 2i. Make it float32 and divide by E. At the end `torch.cat([angles, angles], dim=-1)`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch07_rope.py
# :pyobject: rotary_cos_sin
# ```
# ````
#
# ### `apply_rotary` (1 point, 5 minutes)
#
# Rotate queries or keys, given the cosines and sines.
#
# ```{literalinclude} ../exercises/ch07_rope.py
# :pyobject: apply_rotary
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Write down what happens to entry i and to entry i + E/2. What is multiplied by cos in both? What by sin?
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch07_rope.py
# :pyobject: apply_rotary
# ```
# ````
#
# ### `attend_with_positions` (2 points, 10 minutes)
#
# Write attention with rotary positions. Whether you count from 0 or from 1 does not matter here, and you know why.
#
# ```{literalinclude} ../exercises/ch07_rope.py
# :pyobject: attend_with_positions
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Which of the three have to know their positions, so that the *scores* depend on distances?
# ```
# ```{admonition} Hint 2: which step
# :class: dropdown
# Rotate queries and keys first. From there on it is the attention of chapter 3.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch07_rope.py
# :pyobject: attend_with_positions
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch07_rope")

# %% [markdown]
# ## Summary
#
# With RoPE, a head's vector is a set of E/2 clock hands, fast ones and slow ones. A token's position rotates each hand, by position times frequency. In the dot product of a query and a key only the difference of the rotations is
# left, so attention depends on distances, and moving all positions together changes nothing. The layout of the pairs belongs to the weights: halves for Gemma. Angles are computed in float32.
#
# The next chapter puts the rotated queries and keys into Gemma's attention layer, which does one more thing that the tower's does not: several query heads share a key/value head.
