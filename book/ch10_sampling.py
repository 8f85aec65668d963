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
# # Which word comes next? From scores to text
#
# The model has read a picture and a prompt, and gives 1,921 scores. What you want is a sentence. Between the two stands a rule: which token do you take, and when do you stop? The model does not know the rule. It is yours.
#
# At the end you will be able to
#
# - turn scores into probabilities at any temperature, and say what happens at 0;
# - cut a distribution down to its nucleus without ever losing everything;
# - draw by chance, and get the same again;
# - say for which answers chance is a bad idea, and measure how bad;
# - write the loop that ends an answer.
#
# It takes about 40 minutes. Here are two moments of the same model, with the same picture.

# %% mystnb={"image": {"alt": "Two panels. Left, bars for the first word of a caption: two 0.97, three 0.02, the next ones 0.00. Right, the probabilities of the location marks for the upper edge of a box: a hill between mark 75 and 140 that is nowhere higher than 0.04, with a line for the likeliest at 109."}, "figure": {"caption": "Left, the first word of a caption: hardly a choice. Right, the first mark of a box: dozens of neighbouring marks share the probability, and the likeliest has less than 4 percent.", "name": "fig-ch10-goal"}} tags=["hide-input"]
import matplotlib.pyplot as plt
import torch
from torch import Tensor
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from toybox.prompts import caption
from toybox.scenes import draw_scene
from vlm.generate import generate
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor
from vlm.regions.boxes import box_iou, parse_detections

torch.set_grad_enabled(False)  # nothing is trained in this chapter

model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
processor = PaliGemmaProcessor.for_model(model, tokenizer)
image = example_image(0)
BOXES = "detect cat ; bird"


def answer_steps(prompt: str) -> tuple[list[str], Tensor]:
    """The tokens of the greedy answer, and the scores from which each was taken, [steps, V]."""
    [answer] = generate(model, processor, prompt, image)
    row = processor([prompt], [image], suffix=[answer])
    steps = int(row["token_type_ids"].sum())
    logits = model(**row).logits[0, -steps - 1 : -1]  # [steps, V]: each place tells the next
    names = tokenizer.convert_ids_to_tokens(row["input_ids"][0, -steps:].tolist())
    return [name.replace("▁", "") or "␣" for name in names], logits


words, word_logits = answer_steps("caption en")
marks, mark_logits = answer_steps(BOXES)
first_mark = tokenizer.convert_tokens_to_ids("<loc0000>")
loc = mark_logits[0].softmax(-1)[first_mark : first_mark + 1024]  # [1024]
first_word = word_logits[0].softmax(-1)  # [V]

fig, axes = plt.subplots(1, 2, figsize=(7.8, 3), layout="constrained", width_ratios=(1, 1.5))
likely = first_word.topk(5)
names = tokenizer.convert_ids_to_tokens(likely.indices.tolist())
names = [name.replace("▁", "").replace("\n", "\\n") or "space" for name in names]
bars = axes[0].bar(names, likely.values, color="#0072B2")
axes[0].bar_label(bars, [f"{p:.2f}" for p in likely.values.tolist()], fontsize=8)
axes[0].tick_params(axis="x", rotation=30)
axes[0].set(xlabel="first word", ylabel="probability", ylim=(0, 1.1))
axes[1].plot(range(1024), loc, color="#0072B2")
axes[1].axvline(int(loc.argmax()), color="#D55E00", linestyle="--", label="the likeliest")
axes[1].set(xlabel="mark for the upper edge", ylabel="probability", xlim=(50, 200))
axes[1].legend(fontsize=8)
plt.show()

# %% [markdown]
# ## Always the likeliest
#
# The simplest rule takes the token with the highest score, each time. It is called {term}`greedy <greedy decoding>`. It needs no chance, gives the same answer every time, and it is how PaliGemma is normally used: most of its tasks have one right answer.
#
# Is the greedy answer the likeliest *answer*? Not always. By hand: let the first token be A with 0.6 or B with 0.4. After A, ten tokens are equally likely; after B there is only one. Then the likeliest answer that begins with A has 0.6 · 0.1 = 0.06, and the one that begins with B has 0.4. Greedy takes A. (Beam search keeps several beginnings alive for this reason. The PaliGemma
# paper, arXiv 2407.07726 {cite}`beyer2024paligemma`, uses it for a few of its tasks. We don't.)

# %%
greedy, best = 0.6 * 0.1, 0.4 * 1.0
print(f"begins with A: {greedy:.2f}, begins with B: {best:.2f}")

# %% [markdown]
# ## Warmer and colder
#
# To take other tokens too, now and then, you need probabilities. Softmax makes them, and a {term}`temperature` T decides how different they are: divide the scores by T first. With T below 1 the likely ones win more, with T above 1 everything becomes more alike. What happens at the two ends? Small T magnifies every difference, until the likeliest has everything. Large T makes all differences vanish, and all 1,921 tokens equally likely.
#
# By hand, with the scores 0 and ln 3: the odds are 1 to 3 at T = 1. At T = ½ the scores double, so the odds are squared: 1 to 9.

# %%
scores = torch.tensor([0.0, torch.log(torch.tensor(3.0))])
for temperature in (1.0, 0.5, 0.1, 100.0):
    print(temperature, [round(p, 4) for p in (scores / temperature).softmax(-1).tolist()])
assert torch.allclose((scores / 0.5).softmax(-1), torch.tensor([0.1, 0.9]))
print("at 0:", (scores / 0).softmax(-1).tolist())

# %% [markdown]
# With $z_v$ for the score of token v, this is
#
# $$p_v = \frac{e^{z_v / T}}{\sum_{u=1}^{V} e^{z_u / T}}$$
#
# At T = 0 the formula is 0/0. People write "temperature 0" and mean greedy, so the package takes it as a case of its own.
#
# ## Only the likely ones
#
# A distribution has a tail. Here 1,900 tokens make no sense after "two", each has next to nothing, and together they have something. At temperature 1 this model has almost no tail. At 2, a hundred draws hit it three or four times. One token of nonsense is enough: the model then has to go on from there.

# %%
print("temperature: chance of a token beyond the three likeliest")
for temperature in (1.0, 1.5, 2.0):
    probabilities = (word_logits / temperature).softmax(-1)  # [steps, V]
    tail = 1 - probabilities.topk(3).values.sum(-1)  # [steps]
    clean = (1 - tail).prod()
    print(
        f"{temperature}: tail {tail.mean():.4f} at each step, none drawn in {len(words)} steps {clean:.2f}"
    )

# %% [markdown]
# So the tail is cut off before you draw. How many tokens stay? A fixed number ({term}`top-k` {cite}`fan2018hierarchical`) is too many where one word is certain, and too few where dozens of marks are equally good. {term}`Top-p`, or nucleus sampling (arXiv 1904.09751 {cite}`holtzman2019curious`, section 3.1), keeps the smallest set that together has the probability p. The set is small where the model is sure.
#
# The first idea: sort, add up, keep while the sum is at most p.


# %%
def top_p_v1(probabilities: Tensor, top_p: float) -> Tensor:
    ordered, order = probabilities.sort(dim=-1, descending=True)
    is_kept = ordered.cumsum(-1) <= top_p
    return torch.zeros_like(probabilities).scatter(-1, order, ordered * is_kept)


print(top_p_v1(torch.tensor([[0.2, 0.5, 0.3]]), 0.85))
print(top_p_v1(first_word[None], 0.9).sum())

# %% [markdown]
# Two things are wrong. With p = 0.85 the set {0.5, 0.3} has only 0.8, so it should have three tokens: the one that brings the sum over p belongs to it. And in the second line, where "two" alone has more than 0.9, *nothing* is left. Divide by the sum and you have nan; draw from it and you have an error, or token 0. Public code does this, on exactly those steps where the model is sure.
#
# The question to ask is not "is the sum still below p with this token?" but "was it below p *before* this token?". Before the likeliest the sum is 0, so it always stays.


# %% tags=["from:vlm.generate.filter_top_p"]
def filter_top_p(probabilities: Tensor, top_p: float) -> Tensor:
    """Keep the likeliest tokens that together reach top_p, and share the probability among them."""
    ordered, order = probabilities.sort(dim=-1, descending=True)  # [B, V]
    mass_before = ordered.cumsum(-1) - ordered  # [B, V]
    ordered = ordered.masked_fill(mass_before >= top_p, 0)
    kept = torch.zeros_like(probabilities).scatter(
        -1, order, ordered
    )  # back in the vocabulary's order
    return kept / kept.sum(-1, keepdim=True)


# %% [markdown]
# `scatter` undoes the sort: the value at place j of the sorted row goes to place `order[j]`. Forget it, and token 0 gets the largest probability, whatever token 0 is. Check by hand, and against *transformers*.

# %%
exact = torch.tensor([[0.25, 0.5, 0.15625, 0.09375]])
assert torch.allclose(filter_top_p(exact, 0.75), torch.tensor([[1 / 3, 2 / 3, 0, 0]]))
assert filter_top_p(first_word[None], 0.9).count_nonzero() == 1

from transformers import TopPLogitsWarper

torch.manual_seed(0)
random_logits = 3 * torch.randn(200, 50)
for top_p in (0.3, 0.7, 0.95):
    theirs = TopPLogitsWarper(top_p)(None, random_logits).softmax(-1)
    assert torch.allclose(filter_top_p(random_logits.softmax(-1), top_p), theirs, atol=1e-6)
print("600 rows: the same tokens are kept, with the same probabilities")

# %% [markdown]
# Here are temperature and top-p together, on the logits that the model has for a scene of yours. The gray bars are the model's own probabilities, the blue ones those from which the next token is drawn. The axis goes by powers of ten, because the tail would not be visible otherwise. Predict. (1) For the first word of a caption you raise the temperature from 1 to 2. The tail grows; by how much, 2 times or 100 times? (2) Top-p is 0.9. How many tokens stay at the first word, and how many at the first location token of a box?
#
# <div class="live-figure" data-figure="sampling" data-prompt="caption en">
# <p>This figure needs JavaScript. The cells above compute the same for one example image. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("sampling", prompt="caption en")

# %% [markdown]
# (1) On this axis dividing by T is nearly a stretching of the staircase by 1/T: what was a millionth becomes about a thousandth. So the answer is neither; the rarer the token, the more it gains. (2) At a word one or two tokens stay, at a location token dozens, with the same p. A fixed top-k could not do both.
#
# Then draw 20 answers at temperature 1, at 2, and at 2 with a top-p of 0.9. Of a caption, look at those that went wrong at 2: a single token from the tail, a location token for example, and the model goes on as if a box had been asked for. Without the tail nearly all are right again. For `detect` the boxes are drawn on the scene. They scatter around the toy, with and without the tail, because the many good location tokens are no tail. And move a toy: the bars belong to the scene that you see.

# %% [markdown]
# ## Chance, and how to repeat it
#
# Now draw. Lay the tokens side by side on a line from 0 to 1, each as wide as it is probable, and throw a random number on the line. `torch.multinomial` gives the same chances. Random numbers in a computer come from a *generator*, which is a formula: give it the same seed, and it gives the same numbers. So chance can be repeated, and a bug report can be written.


# %% tags=["from:vlm.generate.choose_token"]
def choose_token(
    logits: Tensor,
    temperature: float = 0.0,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Logits [B, V] -> token ids [B]: the likeliest at temperature 0, else drawn at random."""
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits.float() / temperature, dim=-1)
    return torch.multinomial(filter_top_p(probabilities, top_p), 1, generator=generator)[:, 0]


# %% [markdown]
# Are the draws as frequent as they should be? With n draws, the share of a token of probability q is off by about √(q(1 − q)/n). For q = ½ and 20,000 draws that is 0.0035. Five times that would be suspicious.

# %%
rows = torch.tensor([0.5, 0.3, 0.2]).log().expand(20_000, 3)
drawn = choose_token(rows, temperature=1.0, generator=torch.Generator().manual_seed(0))
shares = torch.stack([(drawn == token).float().mean() for token in range(3)])
assert (shares - torch.tensor([0.5, 0.3, 0.2])).abs().max() < 5 * 0.0035
again = choose_token(rows, temperature=1.0, generator=torch.Generator().manual_seed(0))
assert torch.equal(drawn, again)
print("shares as they should be; the same seed, the same draws")

# %% [markdown]
# ## Where is the model unsure?
#
# One number says how much choice there is at a step: the {term}`entropy`, minus the sum of p log₂ p. It is 0 if one token has everything, and 3 if eight tokens are equally likely: as many bits as it takes to say which. Before you look at the figure: where in an answer with four boxes will it be high, and where zero?

# %% mystnb={"image": {"alt": "Two bar charts of entropy in bits by token. The caption: 0.2 at two, near 0 at all other words. The boxes: about 6 bits at each location mark, and near 0 at names, separators and the end."}, "figure": {"caption": "Entropy at each step. The words of the caption and the names of things are certain. Each mark of a box is a choice among some 45 to 115.", "name": "fig-ch10-entropy"}} tags=["hide-input"]


def entropy(logits: Tensor) -> Tensor:
    """[steps, V] -> [steps], in bits."""
    log_probabilities = logits.log_softmax(-1)
    return -(log_probabilities.exp() * log_probabilities).sum(-1) / torch.log(torch.tensor(2.0))


fig, axes = plt.subplots(
    1, 2, figsize=(8.6, 3.2), layout="constrained", width_ratios=(8, 27), sharey=True
)
for ax, names, logits in ((axes[0], words, word_logits), (axes[1], marks, mark_logits)):
    is_mark = [name.startswith("<loc") for name in names]
    ax.bar(
        range(len(names)),
        entropy(logits),
        color=["#D55E00" if mark else "#0072B2" for mark in is_mark],
    )
    ax.set_xticks(range(len(names)), [n.strip("<>") for n in names], rotation=90, fontsize=7)
    ax.set(xlabel="token")
axes[0].set_ylabel("entropy in bits")
plt.show()

# %% [markdown]
# Six bits are 64 equally good marks. Does the model not know where the cat is? A mark is 112/1024 of a pixel, about a ninth, so these are seven pixels. Much of it was taught: the Toybox was trained to {term}`give some probability to marks beside the right one <soft target>`, with a standard deviation of 4 marks, and each edge was moved by up to half a pixel, since the scenes have whole pixels. A bell curve of standard deviation 4 has log₂(4 · √(2πe)), 4.0 bits; with the moved edges it is a little more. The rest is doubt. (Google's PaliGemma was trained on the one right mark.)
#
# So what does chance do to a box? It moves each edge by some marks. And to a caption? Count captions that are exactly right, and the mean {term}`IoU` of boxes, by temperature.

# %% mystnb={"image": {"alt": "Two line plots by temperature from 0 to 3. Captions right: near 1 up to temperature 1, falling to 0 at 3, with top-p 0.9 staying higher in between. Mean IoU of boxes: highest at 0, falling from the start, with top-p 0.9 a little higher."}, "figure": {"caption": "What temperature costs. Both lose a little from the start. Above 1.5 captions collapse, since one wrong word spoils a whole caption, while a shifted mark costs only some IoU. Cutting the tail (top-p 0.9) helps most where it is hot.", "name": "fig-ch10-temperature"}} tags=["hide-input"]
drawn = (draw_scene(seed, "test") for seed in range(40))
scenes = [scene for scene in drawn if scene.objects][:32]
pictures = [scene.image for scene in scenes]
things = [scene.objects[0] for scene in scenes]


def captions_right(temperature: float, top_p: float) -> float:
    prompts = ["caption en"] * len(scenes)
    texts = generate(model, processor, prompts, pictures, 26, temperature, top_p, seed=0)
    return sum(text == caption(scene).suffix for text, scene in zip(texts, scenes)) / len(texts)


def mean_iou(temperature: float, top_p: float) -> float:
    """Of the box nearest to one thing of each scene; 0 where there is none."""
    prompts = [f"detect {thing.label}" for thing in things]
    texts = generate(model, processor, prompts, pictures, 30, temperature, top_p, seed=0)
    total = 0.0
    for text, thing in zip(texts, things):
        found = parse_detections(text, 112, 112)
        total += max((box_iou(detection.box, thing.box) for detection in found), default=0)
    return total / len(texts)


TEMPERATURES = (0, 0.5, 1, 1.5, 2, 2.5, 3)
fig, axes = plt.subplots(1, 2, figsize=(7.8, 3), layout="constrained")
results = {}
for ax, measure, label in (
    (axes[0], captions_right, "captions right"),
    (axes[1], mean_iou, "mean IoU of boxes"),
):
    for top_p, color, style in ((1.0, "#D55E00", "-"), (0.9, "#0072B2", "--")):
        values = [measure(temperature, top_p) for temperature in TEMPERATURES]
        results[label, top_p] = values
        ax.plot(
            TEMPERATURES,
            values,
            color=color,
            linestyle=style,
            marker="o",
            label=f"top-p {top_p}",
        )
    ax.set(xlabel="temperature", ylabel=label, ylim=(0, 1.05))
    ax.legend(fontsize=8)
plt.show()

# %% tags=["nbval-ignore-output"]
for label in ("captions right", "mean IoU of boxes"):
    at = dict(zip(TEMPERATURES, results[label, 1.0]))
    print(f"{label}: {at[0]:.2f} at 0, {at[1]:.2f} at 1, {at[2]:.2f} at 2")
assert results["mean IoU of boxes", 1.0][0] > results["mean IoU of boxes", 1.0][2]

# %% [markdown]
# At temperature 1 the caption is still right nine times in ten, and the boxes have lost a tenth of their IoU. At 2, four captions in ten are wrong. You have computed a part of it above, for one picture: the chance that at least one word of eight comes from the tail is 1 − 0.74, a quarter. The rest are words among the three likeliest that are wrong here. At temperature 1, where there is hardly a tail, they alone spoil one caption in ten. So for tasks with one right answer there is nothing to win by chance. It has its place where many answers are right, in stories, and where you want several different ones to choose from.
#
# ## When to stop
#
# The model {term}`ends its answer itself <end of sequence>`. It was trained to say `<eos>` when it has said everything, and it has learned that as it has learned everything else. If you don't listen, it goes on. What do you expect after a complete caption?


# %%
def talk(prompt: str, max_new_tokens: int, without_eos: bool = False) -> str:
    """The likeliest tokens, whether they are `<eos>` or not; or the likeliest but for `<eos>`."""
    inputs = processor([prompt], [image])
    ids, types = inputs["input_ids"], torch.zeros_like(inputs["input_ids"])
    length = ids.shape[1]
    for _ in range(max_new_tokens):
        logits = model(ids, inputs["pixel_values"], token_type_ids=types).logits  # [1, S, V]
        if without_eos:
            logits[..., model.config.eos_token_id] = -torch.inf
        ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
        types = torch.nn.functional.pad(types, (0, 1), value=1)
    written = tokenizer.convert_ids_to_tokens(ids[0, length:].tolist())
    return " ".join(written).replace("▁", "")


print("not listened to:", talk("caption en", 12))
print("not allowed:    ", talk("caption en", 20, without_eos=True))

# %% [markdown]
# It says `<eos>` again and again. That was luck: what comes after `<eos>` was never in its training, and here it costs you passes for nothing. If `<eos>` cannot be said, because you have forbidden it, or because chance took another token at that one step, you see what is left when everything has been said. Nobody taught it that either.
#
# Two more rules complete the loop. There is a limit, `max_new_tokens`, because nothing guarantees that `<eos>` ever comes. And the edges are checked once, before the loop starts: a temperature below 0 or a top-p of 0 is a mistake of the caller, and is said.


# %% tags=["from:vlm.generate.check_sampling"]
def check_sampling(
    max_new_tokens: int, temperature: float, top_p: float, seed: int | None = None
):
    """Raise a ValueError for an option out of its range; NaN is out of every range."""
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens is {max_new_tokens}: expected at least 1")
    if not 0 <= temperature < float("inf"):
        raise ValueError(
            f"temperature is {temperature}: expected 0 (greedy) or more, and less than infinity"
        )
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}: expected more than 0, and 1 at most")
    if seed is not None and not 0 <= seed < 2**64:
        raise ValueError(f"seed is {seed}: expected 0 to 2**64 - 1")


# %%
for arguments in ((10, -1.0, 1.0), (10, float("nan"), 1.0), (10, 1.0, 0.0)):
    try:
        check_sampling(*arguments)
    except ValueError as error:
        print(error)

# %% [markdown]
# (`not temperature >= 0` instead of `temperature < 0`: a nan is neither.)
#
# The loop above reads the whole sequence again for every token, and looks at the picture again. The next chapter stops that. One thing about PaliGemma 2 belongs here: it sends its scores through 30 · tanh(score / 30) at the end. That keeps their order, so greedy answers are the same with it and without; but it pulls large scores together, so probabilities are not. *transformers* 4.52 to 5.0 left it out, and nobody who decoded greedily could
# notice.
#
# ## Exercises
#
# Open `exercises/ch10_sampling.py`, write what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch10_sampling.py
# ```
#
# ### `token_probabilities` (1 point, 5 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# `torch.nn.functional.one_hot(ids, V)` gives rows with a single 1, as whole numbers.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch10_sampling.py
# :pyobject: token_probabilities
# ```
# ````
#
# ### `filter_top_p` (2 points, 15 minutes)
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# For each token, in order: how much did you have before it?
# ```
# ```{admonition} Hint 2: which functions
# :class: dropdown
# `sort(descending=True)` gives values and their old places. `cumsum` minus the value itself is the sum before it. `scatter(-1, order, values)` on zeros undoes the sort.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch10_sampling.py
# :pyobject: filter_top_p
# ```
# ````
#
# ### `draw_tokens` (2 points, 10 minutes)
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# The running sum gives the right end of each token on the line. How many tokens lie wholly to the left of the number?
# ```
# ```{admonition} Hint 2: the border
# :class: dropdown
# A number that is exactly a right end belongs to the next token. So a right end that is *equal* lies to the left too.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch10_sampling.py
# :pyobject: draw_tokens
# ```
# ````
#
# ### `generate_greedy` (2 points, 10 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# In each turn: ask for the scores after everything so far, take the largest, look whether it is the end, and only then keep it. `[*a, *b]` is a new list.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch10_sampling.py
# :pyobject: generate_greedy
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch10_sampling")

# %% [markdown]
# ## Summary
#
# Greedy decoding takes the likeliest token, and suits answers that have one right form. A temperature divides the scores before softmax; 0 is a case of its own. Top-p keeps the smallest set that reaches p, always at least one token, and puts it back in the vocabulary's order. A seed repeats chance. The words of this model are certain and its box marks are not; chance costs both, and captions most when it is hot. `<eos>` ends an answer, and a limit ends it if `<eos>` does not come.
#
# Each token costs a whole pass through the model, over everything that was read before. Most of that work has been done already. That is next.
