"""The generator: network, sampler, prompts, likelihood, weights."""
