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
# # Sampling from logits with temperature and top-p: which token comes next?
#
# The model has read an image and a prompt, and returns 1,921 {term}`logits`, one for each token of its vocabulary. What you want is a sentence. Between the two there is a rule: which token do you take, and when do you stop? The rule is not part of the model; you choose it.
#
# At the end you will be able to
#
# - turn logits into probabilities at any temperature, and say what happens at 0;
# - cut a distribution down to its most likely tokens (its nucleus) without ever losing all of it;
# - sample at random, and get the same tokens again;
# - say for which answers sampling is a bad idea, and measure how bad;
# - write the loop that ends an answer.
#
# Time: about 40 minutes to read and run, and 40 for the four exercises. Here are two moments of the same model, with the same image.

# %% mystnb={"image": {"alt": "Two panels. Left, bars for the first word of a caption: two 0.97, three 0.02, the next ones 0.00. Right, the probabilities of the location tokens for the top edge of a box: a hill between 75 and 140 that is nowhere higher than 0.04, with a line at the most likely token, 109."}, "figure": {"caption": "The model is nearly certain of the first word of a caption (left), but not of the first location token of a box (right): dozens of neighboring location tokens share the probability, and the most likely has less than 4 percent.", "name": "fig-ch10-goal"}} tags=["hide-input"]
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
    """The tokens of the greedy answer, and the logits behind each, [steps, V]."""
    [answer] = generate(model, processor, prompt, image)
    row = processor([prompt], [image], suffix=[answer])
    steps = int(row["token_type_ids"].sum())
    # [steps, V]: each position predicts the next token
    logits = model(**row).logits[0, -steps - 1 : -1]
    names = tokenizer.convert_ids_to_tokens(row["input_ids"][0, -steps:].tolist())
    return [name.replace("▁", "") or "␣" for name in names], logits


caption_tokens, caption_logits = answer_steps("caption en")
box_tokens, box_logits = answer_steps(BOXES)
first_loc = tokenizer.convert_tokens_to_ids("<loc0000>")
loc = box_logits[0].softmax(-1)[first_loc : first_loc + 1024]  # [1024]
first_token = caption_logits[0].softmax(-1)  # [V]

fig, axes = plt.subplots(1, 2, figsize=(7.8, 3), layout="constrained", width_ratios=(1, 1.5))
likely = first_token.topk(5)
names = tokenizer.convert_ids_to_tokens(likely.indices.tolist())
names = [name.replace("▁", "").replace("\n", "\\n") or "space" for name in names]
bars = axes[0].bar(names, likely.values, color="#0072B2")
axes[0].bar_label(bars, [f"{p:.2f}" for p in likely.values.tolist()], fontsize=8)
axes[0].tick_params(axis="x", rotation=30)
axes[0].set(xlabel="first token", ylabel="probability", ylim=(0, 1.1))
axes[1].plot(range(1024), loc, color="#0072B2")
axes[1].axvline(int(loc.argmax()), color="#D55E00", linestyle="--", label="the most likely")
axes[1].set(xlabel="location token for the top edge", ylabel="probability", xlim=(50, 200))
axes[1].legend(fontsize=8)
plt.show()

# %% [markdown]
# ## Greedy decoding: always the most likely token
#
# The simplest rule takes the token with the largest logit at each step. It is called {term}`greedy decoding`. It involves no randomness, gives the same answer every time, and is how PaliGemma is normally used, since most of its tasks have one right answer.
#
# Is the greedy answer the most likely *answer*? Not always. By hand: let the first token be A with probability 0.6, or B with 0.4. After A, ten tokens are equally likely; after B there is only one. Then the most likely answer that begins with A has the probability 0.6 · 0.1 = 0.06, and the one that begins with B has 0.4. Greedy decoding takes A. (Beam search keeps several candidates for this reason. The PaliGemma paper {cite}`beyer2024paligemma` uses it for a few of its tasks. We don't.)

# %%
greedy, best = 0.6 * 0.1, 0.4 * 1.0
print(f"begins with A: {greedy:.2f}, begins with B: {best:.2f}")

# %% [markdown]
# ## Softmax temperature
#
# To take another token now and then, you need probabilities. Softmax computes them, and a {term}`temperature` T decides how different they are: the logits are divided by T first. With T below 1 the likely tokens become more likely, with T above 1 the probabilities become more alike. What happens at the extremes? A small T magnifies every difference, until the most likely token has all the probability. A large T makes all differences vanish, until all 1,921 tokens are equally likely.
#
# By hand, with the logits 0 and ln 3: the odds are 1 to 3 at T = 1. At T = ½ the logits double, so the odds are squared: 1 to 9.

# %%
logits = torch.tensor([0.0, torch.log(torch.tensor(3.0))])
for temperature in (1.0, 0.5, 0.1, 100.0):
    probabilities = (logits / temperature).softmax(-1)
    print(temperature, [round(p, 4) for p in probabilities.tolist()])
assert torch.allclose((logits / 0.5).softmax(-1), torch.tensor([0.1, 0.9]))
print("at 0:", (logits / 0).softmax(-1).tolist())

# %% [markdown]
# With $z_v$ for the logit of token v, this is
#
# $$p_v = \frac{e^{z_v / T}}{\sum_{u=1}^{V} e^{z_u / T}}$$
#
# At T = 0 the formula divides by zero and is undefined. People write "temperature 0" and mean greedy decoding, so the package treats 0 as a special case. That agrees with the limit of small temperatures, except for ties: the limit shares the probability among the tied tokens, while `argmax` takes the first of them.
#
# ## Top-k and top-p (nucleus) sampling: only the likely tokens
#
# A distribution has a tail. Here about 1,900 of the 1,921 tokens make no sense after `two`; each of them has almost no probability, but together they have some. At temperature 1 this model has almost no tail. At 2, three or four draws in a hundred come from the tail. One nonsense token is enough: the model then has to continue from there.

# %%
print("tail: all tokens except the 3 most likely")
for temperature in (1.0, 1.5, 2.0):
    probabilities = (caption_logits / temperature).softmax(-1)  # [steps, V]
    tail = 1 - probabilities.topk(3).values.sum(-1)  # [steps]
    clean = (1 - tail).prod()  # the probability that no step draws from the tail
    print(f"T = {temperature}: tail {tail.mean():.4f}, answer without it {clean:.2f}")

# %% [markdown]
# So we cut off the tail before we draw. How many tokens should stay? A fixed number ({term}`top-k` sampling {cite}`fan2018hierarchical`) is too large where one word is certain, and too small where dozens of location tokens are equally good. {term}`Top-p`, or nucleus sampling {cite}`holtzman2019curious` (section 3.1), keeps the smallest set of most likely tokens whose probabilities add up to at least p. The set is small where the model is certain.
#
# The first idea: sort, take the cumulative sum, and keep tokens while it is at most p.


# %%
def top_p_v1(probabilities: Tensor, top_p: float) -> Tensor:
    ordered, order = probabilities.sort(dim=-1, descending=True)
    is_kept = ordered.cumsum(-1) <= top_p
    return torch.zeros_like(probabilities).scatter(-1, order, ordered * is_kept)


print(top_p_v1(torch.tensor([[0.2, 0.5, 0.3]]), 0.85))
print(top_p_v1(first_token[None], 0.9).sum())

# %% [markdown]
# Two things are wrong. With p = 0.85, the two tokens that are kept have only 0.8 together, so there should be three: the token that brings the sum to p belongs to the set. And in the second line, where `two` alone has more than 0.9, *nothing* is left. If you divide by the sum, you get NaN; if you draw from that, you get an error, or token 0. Public code does this, at exactly those steps where the model is most certain.
#
# The right question is not "is the sum with this token still at most p?" but "was the sum *before* this token below p?" For the most likely token that sum is 0, so it is always kept.


# %% tags=["from:vlm.generate.filter_top_p"]
def filter_top_p(probabilities: Tensor, top_p: float) -> Tensor:
    """Keep the most likely tokens that together reach top_p, and renormalize."""
    ordered, order = probabilities.sort(dim=-1, descending=True)  # [B, V]
    mass_before = ordered.cumsum(-1) - ordered  # [B, V]
    ordered = ordered.masked_fill(mass_before >= top_p, 0)
    # back in the vocabulary's order
    kept = torch.zeros_like(probabilities).scatter(-1, order, ordered)
    return kept / kept.sum(-1, keepdim=True)


# %% [markdown]
# `scatter` undoes the sort: the value at index j of the sorted row goes to index `order[j]`. If you forget it, token 0 gets the largest probability, whatever token 0 is. Check the function by hand, and against *transformers*.

# %%
exact = torch.tensor([[0.25, 0.5, 0.15625, 0.09375]])
assert torch.allclose(filter_top_p(exact, 0.75), torch.tensor([[1 / 3, 2 / 3, 0, 0]]))
assert filter_top_p(first_token[None], 0.9).count_nonzero() == 1

from transformers import TopPLogitsWarper

torch.manual_seed(0)
random_logits = 3 * torch.randn(200, 50)
for top_p in (0.3, 0.7, 0.95):
    ours = filter_top_p(random_logits.softmax(-1), top_p)
    theirs = TopPLogitsWarper(top_p)(None, random_logits).softmax(-1)
    assert torch.allclose(ours, theirs, atol=1e-6)
print("600 rows: both keep the same tokens, with the same probabilities")

# %% [markdown]
# The next figure applies temperature and top-p to the model's logits for a scene of yours. The gray bars are the model's own probabilities; the next token is drawn from the blue ones. The axis is logarithmic, because you would not see the tail otherwise. Predict. (1) For the first word of a caption you raise the temperature from 1 to 2. How much does the tail grow, 2 times or 100 times? (2) Top-p is 0.9. How many tokens stay at the first word, and how many at the first location token of a box?
#
# <div class="live-figure" data-figure="sampling" data-prompt="caption en">
# <p>This figure needs JavaScript. The cells above compute the same for one example image. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("sampling", prompt="caption en")

# %% [markdown]
# (1) On a logarithmic axis, dividing the logits by 2 halves all differences in height: what was a millionth becomes about a thousandth. So neither number is right; the rarer the token, the more it gains. (2) With the same p, one or two tokens stay at a word, and dozens at a location token. A fixed top-k could not do both.
#
# Then draw 20 answers at temperature 1, at 2, and at 2 with a top-p of 0.9. With the caption prompt, look at those that go wrong at 2: after a single token from the tail, a location token for example, the model continues as if it had been asked for a box. Without the tail nearly all captions are right again. With `detect`, the boxes are drawn on the scene. They scatter around the toy, with and without the tail, because the many good location tokens are not a tail. Then move a toy: the bars are computed again for the new scene.

# %% [markdown]
# ## Sampling, and how to repeat it with a seed
#
# Now draw. Lay the tokens side by side on a line from 0 to 1, each as wide as its probability, and pick a random point of the line. `torch.multinomial` draws with the same probabilities. Random numbers in a computer come from a *generator*, which is a formula: give it the same seed, and it gives the same numbers. So a random answer can be repeated, in a bug report for example.


# %% tags=["from:vlm.generate.choose_token"]
def choose_token(
    logits: Tensor,
    temperature: float = 0.0,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Logits [B, V] -> tokens [B]: the most likely at temperature 0, else sampled."""
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits.float() / temperature, dim=-1)
    return torch.multinomial(
        filter_top_p(probabilities, top_p),
        1,
        generator=generator,
    )[:, 0]


# %% [markdown]
# Is each token drawn as often as it should be? In n draws, the fraction of draws that give a token of probability q has a standard deviation of √(q(1 − q)/n). For q = ½ and 20,000 draws that is 0.0035. A deviation of five times as much would be suspicious.

# %%
rows = torch.tensor([0.5, 0.3, 0.2]).log().expand(20_000, 3)
drawn = choose_token(rows, temperature=1.0, generator=torch.Generator().manual_seed(0))
fractions = torch.stack([(drawn == token).float().mean() for token in range(3)])
assert (fractions - torch.tensor([0.5, 0.3, 0.2])).abs().max() < 5 * 0.0035
again = choose_token(rows, temperature=1.0, generator=torch.Generator().manual_seed(0))
assert torch.equal(drawn, again)
print("the fractions are right; the same seed gives the same draws")

# %% [markdown]
# ## Entropy: where is the model unsure?
#
# One number says how much choice there is at a step: the {term}`entropy`, minus the sum of p log₂ p over all tokens. It is 0 if one token has all the probability, and 3 if eight tokens are equally likely: as many bits as it takes to say which one. Before you look at the figure: where in an answer with four boxes will it be high, and where zero?

# %% mystnb={"image": {"alt": "Two bar charts of entropy in bits by token. The caption: 0.2 at two, near 0 at all other tokens. The boxes: about 6 bits at each location token, and near 0 at labels, separators and the end."}, "figure": {"caption": "The words of the caption and the labels of the boxes are certain; each location token is a choice among some 45 to 115. The bars are the entropy at each step.", "name": "fig-ch10-entropy"}} tags=["hide-input"]


def entropy(logits: Tensor) -> Tensor:
    """[steps, V] -> [steps], in bits."""
    log_probabilities = logits.log_softmax(-1)
    nats = -(log_probabilities.exp() * log_probabilities).sum(-1)
    return nats / torch.log(torch.tensor(2.0))


fig, axes = plt.subplots(
    1, 2, figsize=(8.6, 3.2), layout="constrained", width_ratios=(8, 27), sharey=True
)
for ax, names, logits in (
    (axes[0], caption_tokens, caption_logits),
    (axes[1], box_tokens, box_logits),
):
    is_location = [name.startswith("<loc") for name in names]
    ax.bar(
        range(len(names)),
        entropy(logits),
        color=["#D55E00" if location else "#0072B2" for location in is_location],
    )
    labels = [name.strip("<>") for name in names]
    ax.set_xticks(range(len(names)), labels, rotation=90, fontsize=7)
    ax.set(xlabel="token")
axes[0].set_ylabel("entropy in bits")
plt.show()

# %% [markdown]
# Six bits are 64 equally likely location tokens. Does the model not know where the cat is? A location token stands for a bin that is 112/1024 of a pixel wide, about a ninth, so 64 bins are seven pixels. Much of that was taught: the Toybox was trained to {term}`give some probability to bins beside the right one <soft target>`, with a standard deviation of 4 bins, and each edge was shifted by up to half a pixel, since the images consist of whole pixels. A bell curve with a standard deviation of 4 has an entropy of log₂(4 · √(2πe)), or 4.0 bits; with the shifted edges it is a little more. The rest is the model's own uncertainty. (Google's PaliGemma was trained on the one right token.)
#
# So what does sampling do to a box? It shifts each edge by some bins. And to a caption? Count the captions that are exactly right, and compute the mean {term}`IoU` of boxes, at several temperatures.

# %% mystnb={"image": {"alt": "Two line plots by temperature from 0 to 3. Correct captions: near 1 up to temperature 1, falling to 0 at 3, with top-p 0.9 staying higher in between. Mean IoU of boxes: highest at 0, falling from the start, with top-p 0.9 a little higher."}, "figure": {"caption": "Sampling costs accuracy. Both measures fall a little from the start. Above a temperature of 1.5 captions collapse, since one wrong word spoils a whole caption, while a shifted edge costs only some IoU. Cutting the tail (top-p 0.9) helps most at high temperatures.", "name": "fig-ch10-temperature"}} tags=["hide-input"]
drawn = (draw_scene(seed, "test") for seed in range(40))
scenes = [scene for scene in drawn if scene.objects][:32]
images = [scene.image for scene in scenes]
targets = [scene.objects[0] for scene in scenes]


def correct_captions(temperature: float, top_p: float) -> float:
    prompts = ["caption en"] * len(scenes)
    options = {"temperature": temperature, "top_p": top_p, "seed": 0}
    texts = generate(model, processor, prompts, images, 26, **options)
    is_right = [text == caption(scene).suffix for text, scene in zip(texts, scenes)]
    return sum(is_right) / len(texts)


def mean_iou(temperature: float, top_p: float) -> float:
    """The best IoU with one object of each scene, averaged; 0 where there is no box."""
    prompts = [f"detect {target.label}" for target in targets]
    options = {"temperature": temperature, "top_p": top_p, "seed": 0}
    texts = generate(model, processor, prompts, images, 30, **options)
    total = 0.0
    for text, target in zip(texts, targets):
        found = parse_detections(text, 112, 112)
        total += max((box_iou(one.box, target.box) for one in found), default=0)
    return total / len(texts)


TEMPERATURES = (0, 0.5, 1, 1.5, 2, 2.5, 3)
fig, axes = plt.subplots(1, 2, figsize=(7.8, 3), layout="constrained")
results = {}
for ax, measure, label in (
    (axes[0], correct_captions, "correct captions"),
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
for label in ("correct captions", "mean IoU of boxes"):
    at = dict(zip(TEMPERATURES, results[label, 1.0]))
    print(f"{label}: {at[0]:.2f} at 0, {at[1]:.2f} at 1, {at[2]:.2f} at 2")
assert results["mean IoU of boxes", 1.0][0] > results["mean IoU of boxes", 1.0][2]

# %% [markdown]
# At temperature 1 the caption is still right nine times in ten, and the boxes have lost a tenth of their IoU. At 2, four captions in ten are wrong. You have computed a part of that above, for one image: the probability that at least one of eight tokens comes from the tail is 1 − 0.74, a quarter. The remaining errors are tokens that are among the three most likely, but wrong. At temperature 1, where there is hardly a tail, such tokens alone spoil one caption in ten. So for tasks with one right answer, sampling gains nothing. Use it where many answers are right, as in stories, and where you want several different answers to choose from.
#
# ## When to stop: the end-of-sequence token
#
# The model {term}`ends its answer itself <end of sequence>`. It was trained to predict `<eos>` after a complete answer, like any other token. If you ignore `<eos>`, the model goes on. What do you expect after a complete caption?


# %%
def talk(prompt: str, max_new_tokens: int, without_eos: bool = False) -> str:
    """Greedy decoding that ignores `<eos>`, or that never takes it."""
    inputs = processor([prompt], [image])
    ids, types = inputs["input_ids"], torch.zeros_like(inputs["input_ids"])
    length = ids.shape[1]
    for _ in range(max_new_tokens):
        # [1, S, V]
        logits = model(ids, inputs["pixel_values"], token_type_ids=types).logits
        if without_eos:
            logits[..., model.config.eos_token_id] = -torch.inf
        ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
        types = torch.nn.functional.pad(types, (0, 1), value=1)
    tokens = tokenizer.convert_ids_to_tokens(ids[0, length:].tolist())
    return " ".join(tokens).replace("▁", "")


print("<eos> ignored:  ", talk("caption en", 12))
print("<eos> forbidden:", talk("caption en", 20, without_eos=True))

# %% [markdown]
# It predicts `<eos>` again and again. That was luck: training never shows what comes after `<eos>`. And each of these passes is wasted. In the second line the model cannot end, because `<eos>` is forbidden (the same happens when another token is drawn at that one step), and goes on after everything has been said. It was not trained for that either.
#
# Two more rules complete the loop. There is a limit, `max_new_tokens`, because nothing guarantees that `<eos>` ever comes. And the options are checked once, before the loop starts: a temperature below 0 or a top-p of 0 raises an error.


# %% tags=["from:vlm.generate.check_sampling"]
def check_sampling(
    max_new_tokens: int, temperature: float, top_p: float, seed: int | None = None
):
    """Raise a ValueError for an option out of its range; NaN is out of every range."""
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens is {max_new_tokens}: expected at least 1")
    if not 0 <= temperature < float("inf"):
        raise ValueError(
            f"temperature is {temperature}: expected 0 (greedy) or a finite number above 0"
        )
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}: expected more than 0 and at most 1")
    if seed is not None and not 0 <= seed < 2**64:
        raise ValueError(f"seed is {seed}: expected 0 to 2**64 - 1")


# %%
for arguments in ((10, -1.0, 1.0), (10, float("nan"), 1.0), (10, 1.0, 0.0)):
    try:
        check_sampling(*arguments)
    except ValueError as error:
        print(error)

# %% [markdown]
# (Why `not 0 <= temperature` and not `temperature < 0`? `<` and `<=` are always false for NaN, so only the first form rejects it.)
#
# The loop above runs the whole sequence through the model again for every token, and the image through the vision tower. The next chapter avoids that. One thing about PaliGemma 2 belongs here: at the end, it passes its logits through a {term}`softcap`, 30 · tanh(logit / 30). That keeps their order, so greedy answers are the same with and without it; but it compresses large logits, so probabilities change. *transformers* 4.52 to 5.0 left it out, and nobody who decoded greedily could notice.
#
# ## Exercises
#
# Open `exercises/ch10_sampling.py`, complete the functions, and grade them, below or in a terminal:
#
# ```text
# pytest exercises/test_ch10_sampling.py
# ```
#
# ### `token_probabilities` (1 point, 5 minutes)
#
# Turn logits into probabilities at any temperature, 0 included.
#
# ```{literalinclude} ../exercises/ch10_sampling.py
# :pyobject: token_probabilities
# ```
#
# ```{admonition} Hint
# :class: dropdown
# `torch.nn.functional.one_hot(ids, V)` gives rows of whole numbers with a single 1 in each.
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
# Write top-p filtering so that it keeps the token that reaches p.
#
# ```{literalinclude} ../exercises/ch10_sampling.py
# :pyobject: filter_top_p
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# For each token, in order: how much probability did you have before it?
# ```
# ```{admonition} Hint 2: which functions
# :class: dropdown
# `sort(descending=True)` gives the values and their old indices. `cumsum` minus the value itself is the sum before it. `scatter(-1, order, values)` on zeros undoes the sort.
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
# Sample a token for each row, given a random number.
#
# ```{literalinclude} ../exercises/ch10_sampling.py
# :pyobject: draw_tokens
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# The cumulative sum gives the right end of each token on the line. How many tokens lie completely to the left of the number?
# ```
# ```{admonition} Hint 2: the border
# :class: dropdown
# A number that equals a right end belongs to the next token. So count a token as "to the left" if its right end is *equal* to the number, too.
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
# Write the loop that generates an answer and knows when to stop.
#
# ```{literalinclude} ../exercises/ch10_sampling.py
# :pyobject: generate_greedy
# ```
#
# ```{admonition} Hint
# :class: dropdown
# In each step: get the logits after everything so far, take the token with the largest one, stop if it is `<eos>`, and keep it otherwise. `[*a, *b]` is a new list.
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
# Greedy decoding takes the most likely token, and suits answers that have one right form. The temperature divides the logits before the softmax; 0 is a special case and means greedy. Top-p keeps the smallest set of most likely tokens that reaches p, always at least one, and puts them back in the vocabulary's order. A seed makes sampling repeatable. This model is certain of its words and not of its location tokens; sampling costs accuracy in both, and at high temperatures most in captions. `<eos>` ends an answer, and a limit ends it if `<eos>` does not come.
#
# Each token costs a whole pass through the model, over all the tokens before it. Most of that work was already done in the pass before. The KV cache, in the next chapter, keeps the results.
