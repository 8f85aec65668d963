"""Mistakes people make in chapter 16, and other right answers."""

from dataclasses import replace

from grader import mistake, variant
from solutions import ch16_real_thing as solution


@mistake("memory_needed", "The cache is missing: keys and values of every token stay in memory too.")
def weights_alone(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    return num_parameters * bytes_per_number


@mistake("memory_needed", "The weights are missing.")
def cache_alone(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    return solution.memory_needed(config, 0, bytes_per_number, batch_size, num_tokens)


@mistake("memory_needed", "Keys and values both are kept: twice as many numbers in the cache.")
def keys_alone(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    cache = solution.memory_needed(config, 0, bytes_per_number, batch_size, num_tokens)
    return num_parameters * bytes_per_number + cache // 2


@mistake("memory_needed", "You counted the query heads; only the K key/value heads are kept.")
def query_heads(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    config = replace(config, num_key_value_heads=config.num_attention_heads)
    return solution.memory_needed(config, num_parameters, bytes_per_number, batch_size, num_tokens)


@mistake("memory_needed", "You took the hidden size D; a key has K * E numbers.")
def hidden_size(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    numbers = 2 * config.num_hidden_layers * config.hidden_size * batch_size * num_tokens
    return (num_parameters + numbers) * bytes_per_number


@mistake("memory_needed", "A head has config.head_dim numbers, which need not be D / A.")
def head_dim_guessed(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    config = replace(config, head_dim=2 * (config.hidden_size // config.num_attention_heads // 2))
    return solution.memory_needed(config, num_parameters, bytes_per_number, batch_size, num_tokens)


@mistake("memory_needed", "You took 2 bytes for each number; how many it takes is given.")
def always_two_bytes(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    return solution.memory_needed(config, num_parameters, 2, batch_size, num_tokens)


@mistake("memory_needed", "The numbers of the cache are not turned into bytes; those of the weights are.")
def cache_in_numbers_only(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    return num_parameters * bytes_per_number + solution.memory_needed(config, 0, 1, batch_size, num_tokens)


@mistake("memory_needed", "Every row of the batch has a cache of its own.")
def one_row(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    return solution.memory_needed(config, num_parameters, bytes_per_number, 1, num_tokens)


@mistake("memory_needed", "Every layer has a cache of its own.")
def one_layer(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    return solution.memory_needed(
        replace(config, num_hidden_layers=1), num_parameters, bytes_per_number, batch_size, num_tokens
    )


@mistake("memory_needed", "The weights are there once, however many rows there are.")
def weights_for_each_row(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    return solution.memory_needed(config, num_parameters, bytes_per_number, 1, num_tokens) * batch_size


@mistake("memory_needed", "These are numbers, not bytes.")
def numbers_counted(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    return solution.memory_needed(config, num_parameters, 1, batch_size, num_tokens)


@variant("memory_needed")
def summed_over_layers(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    total = num_parameters * bytes_per_number
    for _ in range(config.num_hidden_layers):
        for _ in ("keys", "values"):
            total += batch_size * num_tokens * config.num_key_value_heads * config.head_dim * bytes_per_number
    return total


@mistake("most_tokens_per_second", "The tower and the projector are not read for a token: they have done their work.")
def tower_too(num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second) -> float:
    return bytes_per_second / (num_parameters * bytes_per_number + cache_bytes)


@mistake("most_tokens_per_second", "Keys and values are fetched too.")
def without_cache(num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second) -> float:
    return bytes_per_second / ((num_parameters - num_vision_parameters) * bytes_per_number)


@mistake("most_tokens_per_second", "This is the time for a token; tokens for each second are one over it.")
def seconds_per_token(num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second) -> float:
    return 1 / solution.most_tokens_per_second(
        num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second
    )


@mistake("most_tokens_per_second", "A weight has bytes_per_number bytes.")
def numbers_for_bytes(num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second) -> float:
    return bytes_per_second / (num_parameters - num_vision_parameters + cache_bytes)


@mistake("most_tokens_per_second", "The cache is given in bytes already.")
def cache_in_numbers(num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second) -> float:
    return bytes_per_second / ((num_parameters - num_vision_parameters + cache_bytes) * bytes_per_number)


@mistake("most_tokens_per_second", "Tower and projector are added; they are part of the whole, and are taken off.")
def tower_added(num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second) -> float:
    return bytes_per_second / ((num_parameters + num_vision_parameters) * bytes_per_number + cache_bytes)


@mistake("most_tokens_per_second", "Don't round.")
def rounded(num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second) -> float:
    return float(
        int(
            solution.most_tokens_per_second(
                num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second
            )
        )
    )


@variant("most_tokens_per_second")
def by_time(num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second) -> float:
    weights = num_parameters * bytes_per_number - num_vision_parameters * bytes_per_number
    return 1 / (weights / bytes_per_second + cache_bytes / bytes_per_second)
