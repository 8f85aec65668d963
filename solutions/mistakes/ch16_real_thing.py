"""Common mistakes in the exercises of chapter 16, and other right answers."""

from dataclasses import replace

from grader import mistake, variant
from solutions import ch16_real_thing as solution


@mistake("memory_needed", "You left out the KV cache. The keys and values of every token stay in memory too.")
def weights_only(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    return num_parameters * bytes_per_number


@mistake("memory_needed", "You left out the weights.")
def cache_only(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    return solution.memory_needed(config, 0, bytes_per_number, batch_size, num_tokens)


@mistake("memory_needed", "Your cache is half as large as it should be: it holds a key and a value for every token.")
def keys_only(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    cache = solution.memory_needed(config, 0, bytes_per_number, batch_size, num_tokens)
    return num_parameters * bytes_per_number + cache // 2


@mistake("memory_needed", "You used the number of query heads. Only the K key/value heads are cached.")
def query_heads(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    config = replace(config, num_key_value_heads=config.num_attention_heads)
    return solution.memory_needed(config, num_parameters, bytes_per_number, batch_size, num_tokens)


@mistake("memory_needed", "You used the hidden size D. A key has K * E numbers.")
def hidden_size(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    numbers = 2 * config.num_hidden_layers * config.hidden_size * batch_size * num_tokens
    return (num_parameters + numbers) * bytes_per_number


@mistake("memory_needed", "You used D / A as the size of a head. Use config.head_dim, which may differ.")
def head_dim_guessed(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    config = replace(config, head_dim=2 * (config.hidden_size // config.num_attention_heads // 2))
    return solution.memory_needed(config, num_parameters, bytes_per_number, batch_size, num_tokens)


@mistake("memory_needed", "You assumed 2 bytes per number. Use bytes_per_number.")
def always_two_bytes(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    return solution.memory_needed(config, num_parameters, 2, batch_size, num_tokens)


@mistake("memory_needed", "You counted the cache in numbers, not in bytes. Multiply it by bytes_per_number too.")
def cache_not_in_bytes(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    return num_parameters * bytes_per_number + solution.memory_needed(config, 0, 1, batch_size, num_tokens)


@mistake("memory_needed", "You counted the cache of one row. Each row of the batch has its own.")
def one_row(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    return solution.memory_needed(config, num_parameters, bytes_per_number, 1, num_tokens)


@mistake("memory_needed", "You counted the cache of one layer. Each layer has its own.")
def one_layer(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    return solution.memory_needed(
        replace(config, num_hidden_layers=1), num_parameters, bytes_per_number, batch_size, num_tokens
    )


@mistake("memory_needed", "You counted the weights once per row. They are in memory once, however many rows there are.")
def weights_for_each_row(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    return solution.memory_needed(config, num_parameters, bytes_per_number, 1, num_tokens) * batch_size


@mistake("memory_needed", "You counted numbers, not bytes. Multiply by bytes_per_number.")
def numbers_instead_of_bytes(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    return solution.memory_needed(config, num_parameters, 1, batch_size, num_tokens)


@variant("memory_needed")
def summed_over_layers(config, num_parameters, bytes_per_number, batch_size, num_tokens) -> int:
    total = num_parameters * bytes_per_number
    for _ in range(config.num_hidden_layers):
        for _ in ("keys", "values"):
            total += batch_size * num_tokens * config.num_key_value_heads * config.head_dim * bytes_per_number
    return total


@mistake("max_tokens_per_second", "You included the tower and the projector. They are not read during decoding.")
def tower_too(num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second) -> float:
    return bytes_per_second / (num_parameters * bytes_per_number + cache_bytes)


@mistake("max_tokens_per_second", "You left out the KV cache. It is read for every token too.")
def without_cache(num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second) -> float:
    return bytes_per_second / ((num_parameters - num_vision_parameters) * bytes_per_number)


@mistake("max_tokens_per_second", "This is the time per token. Return tokens per second, which is 1 over it.")
def seconds_per_token(num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second) -> float:
    return 1 / solution.max_tokens_per_second(
        num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second
    )


@mistake("max_tokens_per_second", "You counted each weight as one byte. Multiply the weights by bytes_per_number.")
def weights_not_in_bytes(
    num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second
) -> float:
    return bytes_per_second / (num_parameters - num_vision_parameters + cache_bytes)


@mistake("max_tokens_per_second", "You multiplied cache_bytes by bytes_per_number. It is in bytes already.")
def cache_multiplied_again(
    num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second
) -> float:
    return bytes_per_second / ((num_parameters - num_vision_parameters + cache_bytes) * bytes_per_number)


@mistake(
    "max_tokens_per_second", "You added the tower and the projector. They are part of num_parameters: subtract them."
)
def tower_added(num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second) -> float:
    return bytes_per_second / ((num_parameters + num_vision_parameters) * bytes_per_number + cache_bytes)


@mistake("max_tokens_per_second", "You rounded the result. Return it as it is.")
def rounded(num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second) -> float:
    return float(
        int(
            solution.max_tokens_per_second(
                num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second
            )
        )
    )


@variant("max_tokens_per_second")
def by_time(num_parameters, num_vision_parameters, bytes_per_number, cache_bytes, bytes_per_second) -> float:
    weights = num_parameters * bytes_per_number - num_vision_parameters * bytes_per_number
    return 1 / (weights / bytes_per_second + cache_bytes / bytes_per_second)
