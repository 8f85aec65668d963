"""Reports the results: a table for each model, the bars (required values), and a plot."""

from dataclasses import dataclass
from pathlib import Path
from statistics import median

REFERENCE = "transformers"
TOLERANCE = 1.05  # times whose ratio is below this count as equal


@dataclass(frozen=True)
class Bar:
    """A required value of one measure of a model, and the measured value."""

    model: str
    says: str
    figure: float
    least: float

    @property
    def is_reached(self) -> bool:
        return self.figure >= self.least


def summarize(turns: list[tuple[dict, dict]]) -> dict:
    """Summarize alternating turns of a side and of the reference.

    Returns:
        The side's medians, and for "prefill" and "decode" its speed relative to the reference, turn by turn:
        [median, minimum, maximum]. Prefill is measured in seconds, decode in tokens per second.
    """
    mine = {name: median(own[name] for own, _ in turns) for name in ("prefill", "decode", "memory")}
    decode = [own["decode"] / other["decode"] for own, other in turns]
    prefill = [other["prefill"] / own["prefill"] for own, other in turns]
    same = [own["tokens"] == other["tokens"] for own, other in turns]
    ratios = {"prefill_ratio": prefill, "decode_ratio": decode}
    return mine | {name: [median(r), min(r), max(r)] for name, r in ratios.items()} | {"same_tokens": all(same)}


def find_bars(name: str, report: dict) -> list[Bar]:
    """The bars of one model for which the measurements exist."""
    one, eight = report["batches"]["1"], report["batches"].get("8", {})
    best = max((side for side in one if REFERENCE not in side and "int8" not in side), key=lambda s: one[s]["decode"])
    least = {"toybox": 3.0, "middle": 1.6, "3b": 1.0}[name]
    bars = [Bar(name, f"decode, times transformers ({best})", one[best]["decode_ratio"][0], least)]
    bars.append(Bar(name, f"prefill, times transformers ({best})", one[best]["prefill_ratio"][0], 1.0))
    if name in ("middle", "3b"):
        share = one[best]["decode"] / report["limit"]["tokens_per_second"]
        bars.append(Bar(name, "decode, fraction of the limit", share, {"middle": 0.75, "3b": 0.9}[name]))
    if name == "middle" and eight:
        most = max(row["decode"] for side, row in eight.items() if REFERENCE not in side and "int8" not in side)
        bars.append(Bar(name, "batch of 8, times batch of 1 (best of each)", most / one[best]["decode"], 4.0))
        if "packed" in one and "packed" in eight:
            ratio = eight["packed"]["decode"] / one["packed"]["decode"]
            bars.append(Bar(name, "batch of 8, times batch of 1 (packed both)", ratio, 4.0))
    if "flat" in report:
        bars.append(Bar(name, "time per token, small / large cache", report["flat"], 1 / TOLERANCE))
    if name == "3b" and "int8" in one:
        bars.append(Bar(name, "int8 decode, times transformers in bfloat16", one["int8"]["decode_ratio"][0], 1.6))
    return bars


def print_model(name: str, report: dict):
    limit = report["limit"]
    print(f"\n{name}, {report['dtype']}: {limit['megabytes']:.0f} MB of weights per token, ", end="")
    print(f"{limit['bandwidth']:.1f} GB/s: at most {limit['tokens_per_second']:.0f} tokens/s for one row")
    columns = f"{'load s':>8}{'prefill s':>11}{'tokens/s':>10}{'GB':>7}   times transformers (min..max)"
    print(f"{'batch':>5}  {'':34}{columns}")
    for batch_size, sides in report["batches"].items():
        for side, row in sides.items():
            line = f"{batch_size:>5}  {side:34}{row['load']:8.3f}{row['prefill']:11.4f}{row['decode']:10.1f}"
            line += f"{row['memory']:7.2f}"
            if side != REFERENCE:
                (p, p_low, p_high), (d, d_low, d_high) = row["prefill_ratio"], row["decode_ratio"]
                line += f"   prefill {p:.2f} ({p_low:.2f}..{p_high:.2f}), decode {d:.2f} ({d_low:.2f}..{d_high:.2f})"
                line += "" if row["same_tokens"] else ", different tokens"
            print(line)


def print_bars(bars: list[Bar]):
    print(f"\n{'bar':66}{'measured':>9}{'required':>9}")
    for bar in bars:
        verdict = "" if bar.is_reached else "   MISSED"
        print(f"{bar.model + ': ' + bar.says:66}{bar.figure:9.2f}{bar.least:9.2f}{verdict}")


def plot(models: dict[str, dict], path: Path):
    """Plot the tokens per second of each side, one panel for each model, with the limit as a line."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(models), figsize=(4.6 * len(models), 3.6), layout="constrained", squeeze=False)
    for ax, (name, report) in zip(axes[0], models.items(), strict=True):
        rows = report["batches"]["1"]
        sides = list(rows)[::-1]
        colors = ["#999999" if REFERENCE in side else "#0072B2" for side in sides]
        ax.barh(sides, [rows[side]["decode"] for side in sides], color=colors)
        if name != "toybox":
            ax.axvline(
                report["limit"]["tokens_per_second"], color="#D55E00", linestyle="--", label="weights, read once"
            )
            ax.legend(fontsize=8)
        ax.set(title=f"{name}, {report['dtype']}", xlabel="tokens per second, one row")
    figure.savefig(path, dpi=150)
    plt.close(figure)
